# sdnlab in a container:
#   docker build -t sdnlab .
#   docker run --rm -it --device /dev/net/tun --security-opt seccomp=unconfined \
#       --security-opt apparmor=unconfined --security-opt systempaths=unconfined sdnlab
#
# vagrant/README.md says what each of these options is for. There is no --privileged and no --cap-add: the user is
# not root, and labs are in user namespaces. The machine must allow these (its kernel is the container's).
FROM debian:12-slim
ENV LANG=C.UTF-8
RUN useradd --create-home --shell /bin/bash student
COPY --chown=student:student . /home/student/sdnlab
# --no-kernel: modules and kernel settings are the machine's.
RUN apt-get update \
    && /home/student/sdnlab/vagrant/provision.sh --no-kernel --user student \
    && rm -rf /var/lib/apt/lists/*
USER student
WORKDIR /home/student/sdnlab
CMD ["bash"]
