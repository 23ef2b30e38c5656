# What the scripts share. Sourced, not run.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# Where everything is built: .build, or the folder that ATTENTION_BUILD_PATH names.
build=$(realpath -m "${ATTENTION_BUILD_PATH:-$root/.build}")

step() { printf '\n==> %s\n' "$*"; }

fail() {
  printf '%s: %s\n' "$(basename "$0")" "$*" >&2
  exit 1
}

# The path of a program of the Swift toolchain; not all of them are in PATH where swift is.
tool() {
  local resources
  command -v swift >/dev/null || fail "swift is not in PATH: install Swift 6.1 or newer"
  resources=$(swift -print-target-info | sed -n 's/.*"runtimeResourcePath": "\(.*\)".*/\1/p')
  [[ -x ${resources%/lib/swift}/bin/$1 ]] || fail "the Swift toolchain has no $1 (looked in ${resources%/lib/swift}/bin)"
  printf '%s\n' "${resources%/lib/swift}/bin/$1"
}

# Installs Debian packages, as root or by sudo.
install_packages() {
  local as_root=()
  command -v apt-get >/dev/null ||
    fail "this system has no apt-get: install by hand what Debian calls $*"
  if ((EUID != 0)); then
    command -v sudo >/dev/null || fail "not root, and there is no sudo: install $* as root"
    as_root=(sudo)
  fi
  step "Installing $*"
  "${as_root[@]}" apt-get update
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends "$@"
}

# Installs the OpenCL headers and loader where a program cannot be made with them.
need_opencl() {
  local clang
  clang=$(tool clang)
  "$clang" -x c - -fuse-ld=lld -lOpenCL -o /dev/null 2>/dev/null <<'END' || install_packages ocl-icd-opencl-dev opencl-headers
#define CL_TARGET_OPENCL_VERSION 300
#include <CL/cl.h>
#include <CL/cl_ext.h>
int main(void) { return clGetPlatformIDs(0, 0, 0); }
END
}

# Installs PoCL, OpenCL on the CPU, where the given attend finds no OpenCL device.
need_device() {
  local devices
  devices=$("$1" devices --json)
  [[ $devices == *'"backend":"opencl"'* ]] || install_packages pocl-opencl-icd
}
