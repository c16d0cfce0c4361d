"""What an app imports and is not there: the way out, in words."""

from __future__ import annotations

import re
import sys

from controller.ryu.names import ryu_name
from controller.ryu.python2 import METHODS, MODULES, NAMES

_PACKAGES = {
    "cv2": "opencv-python",
    "sklearn": "scikit-learn",
    "yaml": "PyYAML",
    "MySQLdb": "mysqlclient",
    "bs4": "beautifulsoup4",
    "serial": "pyserial",
    "Crypto": "pycryptodome",
    "PIL": "pillow",
    "dateutil": "python-dateutil",
    "dotenv": "python-dotenv",
    "nmap": "python-nmap",
    "zmq": "pyzmq",
    "google": "protobuf",
    # Modules that newer versions of Python have no more
    "asynchat": "pyasynchat",
    "asyncore": "pyasyncore",
    "cgi": "legacy-cgi",
    "distutils": "setuptools",
    "imp": "zombie-imp",
    "telnetlib": "standard-telnetlib",
}
_SYSTEM_PACKAGES = {"tkinter": "python3-tk", "_tkinter": "python3-tk"}
"""Parts of Python that Debian and Ubuntu have in packages of their own."""


def remedy(error: ImportError) -> str | None:
    """What to do about an import that failed."""
    name = ryu_name(error.name or "")
    if match := re.match(r"cannot import name '(\w+)' from '([\w.]+)'", str(error)):
        name = ryu_name(f"{match[2]}.{match[1]}")
    top = name.partition(".")[0]
    if not top:
        return None
    if top in MODULES:
        return f"{top} is a module of Python 2; in Python 3 it is {MODULES[top]}: --fix-py2 converts a copy"
    if top == "ryu" and name.startswith("ryu.app."):
        file = name.removeprefix("ryu.app.").replace(".", "/") + ".py"
        return (
            f"{name} does not come with sdnlab. Ryu's own file runs unmodified: take ryu/app/{file} from "
            "Ryu's source (pip download --no-deps --no-binary :all: ryu) and name its path; or put the "
            "folder that contains that 'ryu' on PYTHONPATH"
        )
    if top == "ryu":
        return (
            f"{name} is in no package here. If it is a file of your own in a clone of Ryu, "
            "put the folder that contains that 'ryu' on PYTHONPATH"
        )
    if isinstance(error, ModuleNotFoundError) and top in sys.stdlib_module_names and top not in _PACKAGES:
        debian = f": apt install {_SYSTEM_PACKAGES[top]}" if top in _SYSTEM_PACKAGES else ""
        return f"{top} is a part of Python, but {sys.executable} was built or installed without it{debian}"
    if isinstance(error, ModuleNotFoundError):
        return (
            f"install it for the Python that runs sdnlab: {sys.executable} -m pip install "
            f"{_PACKAGES.get(top, top)}; if {top} is a file of yours, put it beside the app"
        )
    return None


def remedy_of(error: BaseException) -> str | None:
    """What to do about another exception that an app raised as it was loaded or started."""
    text = str(error)
    if isinstance(error, AssertionError) and "No OpenFlow version is available" in text:
        return (
            "the apps accept different versions of OpenFlow (OFP_VERSIONS): run them on switches of their own"
        )
    if (isinstance(error, NameError) and error.name in NAMES) or (
        isinstance(error, AttributeError) and error.name in METHODS
    ):
        return f"{error.name} is of Python 2: --fix-py2 runs a converted copy"
    if isinstance(error, FileNotFoundError):
        return "relative paths begin at the folder of the first app's file"
    return None
