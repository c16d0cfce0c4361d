"""Tests of service-chain.yaml: what the firewall lets through, and that the balancer uses all servers."""


def test_the_service_answers_from_each_server(host):
    answers = {host("client").run("curl -s -m 5 http://lb/", check=True).output for _ in range(40)}
    assert answers == {"web1\n", "web2\n", "web3\n"}


def test_other_ports_are_rejected(lab, host):
    before = lab.events()[-1]["number"]
    refused = host("client").run("curl -s -m 5 http://lb:8080/")
    assert refused.code == 7  # curl: the connection was refused
    for event in lab.follow(since=before):
        if "rule others reject TCP client" in event["text"]:
            break


def test_a_second_site_is_needed(lab, host):
    lab.link("d1", "r1").down()
    assert not host("client").run("curl -s -m 2 http://lb/")
