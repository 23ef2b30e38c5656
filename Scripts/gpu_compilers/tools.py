"""Where the compilers are, and how they get there."""
import functools
import shutil
import subprocess
import sys
from pathlib import Path

LLVM = ("clang-22", "opt-22", "llc-22")

# Unpacked, not installed: libclc-22 conflicts with the libclc of PoCL, and no OpenCL driver is to be registered.
DEBIAN = (
    "libclc-22", "intel-opencl-icd", "libigc1", "libigdfcl1", "libigdgmm12", "libopencl-clang14", "libllvmspirvlib14")
WHEELS = ("nvidia-cuda-nvcc-cu12==12.9.86", "nvidia-cuda-nvdisasm==13.5.37")


class Failed(Exception):
    """A command did not do its work: which one, and what it said."""


def run(*command, **options):
    """What a command writes to either stream."""
    command = [str(part) for part in command]
    try:
        result = subprocess.run(command, capture_output=True, text=True, **options)
    except OSError as error:
        raise Failed(f"{command[0]}: {error.strerror}") from error
    if result.returncode != 0:
        raise Failed(f"{' '.join(command)}\n{result.stdout[-2000:]}{result.stderr[-4000:]}")
    return result.stdout + result.stderr


class Tools:
    """The compilers in a folder, fetched into it where they are not there yet."""

    def __init__(self, folder, root):
        self.folder = folder
        if missing := [name for name in LLVM if not shutil.which(name)]:
            print(f"There is no {', '.join(missing)}", file=sys.stderr)
            run("bash", "-c", f"source '{root}/Scripts/common.bash' && install_packages clang-22 llvm-22")
        if not (folder / "complete").exists():
            self._fetch()

    def _fetch(self):
        print(f"Fetching compilers into {self.folder}", file=sys.stderr)
        shutil.rmtree(self.folder / "downloads", ignore_errors=True)
        downloads = self.folder / "downloads"
        downloads.mkdir(parents=True)
        run("apt-get", "download", *DEBIAN, cwd=downloads)
        run(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", *WHEELS, cwd=downloads)
        for package in downloads.glob("*.deb"):
            run("dpkg", "-x", package, self.folder / "debian")
        for wheel in downloads.glob("*.whl"):
            shutil.unpack_archive(wheel, self.folder / "wheels", "zip")
        for program in ("ptxas", "nvdisasm"):
            self.path(program).chmod(0o755)
        shutil.rmtree(downloads)
        (self.folder / "complete").touch()

    @functools.cache
    def path(self, name):
        """The file of a name, wherever its package has it."""
        for path in self.folder.rglob(name):
            if path.is_file():
                return path
        raise Failed(f"there is no {name} in {self.folder}: remove the folder, and it is fetched again")

    @property
    def libraries(self):
        """Where the unpacked Debian packages have their libraries."""
        return self.path("libigc.so.1").parent
