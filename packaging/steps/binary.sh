# shellcheck shell=bash
# The program: built for an old glibc, so that one package runs on RHEL 8, Debian 12 and Ubuntu 22.04 and newer.

glibc=2.28
zigbuild_version=0.24.1
zig_version=0.17.1

target_of() {
    case "$1" in
        amd64) echo x86_64-unknown-linux-gnu ;;
        arm64) echo aarch64-unknown-linux-gnu ;;
        *) echo "no packages are made for $1" >&2; return 1 ;;
    esac
}

# cargo-zigbuild and zig: those of this machine if they have our versions, else from packaging/zigbuild.txt, below target/.
get_zigbuild() {
    if [ "$(cargo-zigbuild --version 2>/dev/null)" = "cargo-zigbuild $zigbuild_version" ] && [ "$(zig version 2>/dev/null)" = "$zig_version" ]; then
        return 0
    fi
    local pins=$root/packaging/zigbuild.txt folder=$work/zigbuild
    # The copy of the pins is written last: a folder without it was not finished.
    if ! cmp -s "$pins" "$folder/pins"; then
        python3 -m pip --version >/dev/null 2>&1 || {
            echo "cargo-zigbuild $zigbuild_version and zig $zig_version are missing, and so is pip, which gets them. On Debian, as root: packaging/build --install-tools" >&2
            return 1
        }
        rm -rf "$folder"
        PIP_ROOT_USER_ACTION=ignore python3 -m pip install --quiet --no-deps --only-binary :all: --require-hashes --target "$folder" --requirement "$pins"
        cp "$pins" "$folder/pins"
    fi
    PATH=$folder/bin:$PATH
    export CARGO_ZIGBUILD_ZIG_PATH=$folder/ziglang/zig
}

# Fails where that architecture cannot be built for here.
need_target() {
    local target
    target=$(target_of "$1")
    [ -d "$(rustc --print target-libdir --target "$target")" ] || {
        echo "The standard library of $target is missing: rustup target add $target" >&2
        return 1
    }
}

# Builds for an architecture, and sets `built`. Every path that could get into the program (in the places of panics) is replaced by one that is
# the same wherever the checkout, the crates' sources and the folder of results are.
build_binary() {
    local target sysroot commit cargo_home folder
    target=$(target_of "$1")
    sysroot=$(rustc --print sysroot)
    commit=$(rustc -vV | sed -n 's/^commit-hash: //p')
    cargo_home=${CARGO_HOME:-$HOME/.cargo}
    folder=$(realpath -m "${CARGO_TARGET_DIR:-$root/target}")
    # The last that fits is taken, so what lies in the checkout comes after it.
    RUSTFLAGS="--remap-path-prefix=$root=holdfast --remap-path-prefix=$folder=target --remap-path-prefix=$cargo_home=cargo --remap-path-prefix=$sysroot/lib/rustlib/src/rust=/rustc/$commit" \
        CARGO_INCREMENTAL=0 CARGO_ZIGBUILD_CACHE_DIR=$work/cache ZIG_GLOBAL_CACHE_DIR=$work/cache/zig ZIG_LOCAL_CACHE_DIR=$work/cache/zig \
        cargo zigbuild --release --locked --bin holdfast --target "$target.$glibc"
    built=$folder/$target/release/holdfast
}

# Which Rust built a program, in the words of `rustc -V`. It is asked itself: one that was given may be of another than this machine has.
compiler_of() {
    local found
    found=$({ readelf --string-dump=.comment "$1" 2>/dev/null || true; } | sed -n 's/^ *\[.*\]  rustc version /rustc /p' | sort -u | paste -sd,)
    echo "${found:-a compiler that it does not name}"
}

# Fails for a program that needs a newer glibc than is promised, or that tells where it was built.
check_binary() {
    local needed
    needed=$({ readelf --version-info --wide "$1" 2>/dev/null || true; } | grep -o 'GLIBC_2[0-9.]*' | sort -Vu | tail -n 1)
    if [ "$(printf '%s\n' "GLIBC_$glibc" "$needed" | sort -V | tail -n 1)" != "GLIBC_$glibc" ]; then
        echo "The program needs $needed, and the packages promise glibc $glibc." >&2
        # A quick package of a quick build is for hosts like this one.
        [ -n "$given" ] || return 1
    fi
    [ -z "$given" ] || return 0
    local path
    for path in "$root" "${CARGO_HOME:-$HOME/.cargo}" "$(rustc --print sysroot)"; do
        if grep -aqF "$path/" "$1"; then
            echo "The program has the path $path in it: another build would have another." >&2
            return 1
        fi
    done
    echo "The program needs glibc ${needed#GLIBC_} and these libraries: $(readelf --dynamic --wide "$1" | sed -n 's/.*(NEEDED).*\[\(.*\)\]$/\1/p' | paste -sd' ')"
}
