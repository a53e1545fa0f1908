# shellcheck shell=bash
# What a build may see of the machine that it runs on, and what it goes by instead: the commit.

# Starts the script again without the caller's environment, so that no CFLAGS, RUSTFLAGS, profile or locale of theirs gets into a package.
# What is let through says where tools, caches and registries are, not what is made.
alone() {
    [ -z "${HOLDFAST_PACKAGING:-}" ] || return 0
    local name kept=()
    for name in $(compgen -e); do
        case "$name" in
            PATH | HOME | TMPDIR | CARGO_HOME | CARGO_TARGET_DIR | RUSTUP_HOME | RUSTUP_TOOLCHAIN | RUSTUP_AUTO_INSTALL) ;;
            *_proxy | *_PROXY | SSL_CERT_* | CARGO_HTTP_* | CARGO_NET_* | CARGO_REGISTR* | CARGO_SOURCE_* | PIP_* | PYENV_*) ;;
            *) continue ;;
        esac
        kept+=("$name=${!name}")
    done
    exec env -i "${kept[@]}" LC_ALL=C.UTF-8 TZ=UTC HOLDFAST_PACKAGING=alone bash "$@"
}

umask 022

# Flags for the compiler are told apart by spaces, and so are files in an rpm's recipe.
case "$root" in
    *[[:space:]]*) echo "The path of the checkout, $root, must be without spaces." >&2; exit 1 ;;
esac

# The version of the packages: a pre-release sorts before its release with a tilde, in both formats.
version=$(sed -n '/^\[package\]/,/^\[/s/^version = "\(.*\)"$/\1/p' "$root/Cargo.toml")
package_version=${version/-/\~}
release=1

# The Debian form of the changelog is also the rpm's, and the date of a tree that came without its repository.
changelog=$root/packaging/changelog
if [ "$(sed -n '1s/^holdfast (\(.*\)) .*/\1/p' "$changelog")" != "$package_version-$release" ]; then
    echo "packaging/changelog does not begin with $package_version-$release, which is to be packed." >&2
    exit 1
fi

in_git() { git -c safe.directory='*' -C "$root" "$@"; }

# Only if the repository is that of this tree, and not of a folder that the tree was unpacked in.
uncommitted=''
if [ "$(in_git rev-parse --show-toplevel 2>/dev/null)" = "$root" ]; then
    SOURCE_DATE_EPOCH=$(in_git log -1 --format=%ct)
    uncommitted=$(in_git status --porcelain)
else
    SOURCE_DATE_EPOCH=$(date -d "$(sed -n 's/^ -- .*>  //p' "$changelog" | head -n 1)" +%s)
fi
export SOURCE_DATE_EPOCH

# The Debian packages of the tools, by command.
declare -A tools=([dpkg-deb]=dpkg [rpmbuild]=rpm [readelf]=binutils [gzip]=gzip [python3]=python3)
declare -A check_tools=([lintian]=lintian [rpmlint]=rpmlint [cpio]=cpio [systemd-analyze]=systemd)

need_tools() {
    local command missing=()
    for command in "${!tools[@]}"; do
        command -v "$command" >/dev/null || missing+=("${tools[$command]}")
    done
    [ "${#missing[@]}" -eq 0 ] || {
        echo "Missing: ${missing[*]}. On Debian, as root: packaging/build --install-tools" >&2
        exit 1
    }
}

install_tools() {
    local command missing=()
    for command in "${!tools[@]}"; do
        command -v "$command" >/dev/null || missing+=("${tools[$command]}")
    done
    for command in "${!check_tools[@]}"; do
        command -v "$command" >/dev/null || missing+=("${check_tools[$command]}")
    done
    # For zig and cargo-zigbuild, which come as Python packages.
    python3 -m pip --version >/dev/null 2>&1 || missing+=(python3-pip)
    [ "${#missing[@]}" -gt 0 ] || return 0
    apt-get update -q
    DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}"
}
