"""What the comparison ran on."""

import json
import os
import platform
import subprocess


# Other work on the machine spoils the times: taken before this script does any.
LOAD = os.getloadavg()[0]


def cores() -> int:
    """The processors this process may use."""
    return len(os.sched_getaffinity(0))


def describe(program: str, devices: list[str], peers: list) -> dict[str, str]:
    facts = {
        "processor": _processor(),
        "cores": str(cores()),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.1f} GiB",
        "system": f"{_system()}, {platform.system()} {platform.release()}",
        "load before": f"{LOAD:.1f} processes on average in the minute before; 0 is right",
        "attend": subprocess.run([program, "--version"], capture_output=True, text=True).stdout.strip(),
    }
    listed = subprocess.run([program, "devices", "--json"], capture_output=True, text=True).stdout.splitlines()
    for row in map(json.loads, listed):
        wanted = any(_matches(row, part) for device in devices for part in device.split(","))
        if wanted:
            driver = f"{row.get('platform', row['backend'])}, driver {row['driver']}"
            facts[f"device {row['device']}"] = f"{row['device_name']}; {driver}; {row['compute_units']} compute units"
    for peer in peers:
        facts[peer.name] = f"{peer.version}, {cores()} threads"
    facts["Python"] = platform.python_version()
    return facts


def _matches(row: dict, device: str) -> bool:
    """Whether a device's name on the command line means this row."""
    if device in ("auto", "opencl"):
        return row["backend"] == "opencl"
    names = [row["device_name"], row.get("platform") or ""]
    return row["device"] == device or any(device.lower() in name.lower() for name in names)


def _processor() -> str:
    try:
        with open("/proc/cpuinfo") as file:
            return next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _system() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except OSError:
        return platform.platform()
