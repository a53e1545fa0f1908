# shellcheck shell=bash
# The Debian package.

make_deb() {
    local folder=$work/$1/deb name=holdfast_$package_version-${release}_$1.deb file
    local docs=$folder/usr/share/doc/holdfast
    cp -a "$tree" "$folder"
    # Where Debian's zsh looks.
    mkdir -p "$folder/usr/share/zsh/vendor-completions"
    mv "$folder/usr/share/zsh/site-functions/_holdfast" "$folder/usr/share/zsh/vendor-completions/"
    rmdir "$folder/usr/share/zsh/site-functions"
    install -m 0644 packaging/copyright "$docs/copyright"
    gzip -n9 <packaging/changelog >"$docs/changelog.Debian.gz"
    install -D -m 0644 packaging/lintian-overrides "$folder/usr/share/lintian/overrides/holdfast"

    mkdir "$folder/DEBIAN"
    sed -e "s/@VERSION@/$package_version-$release/" -e "s/@ARCH@/$1/" -e "s/@GLIBC@/$glibc/" -e "s/@SIZE@/$(installed_size "$folder")/" \
        packaging/control.in >"$folder/DEBIAN/control"
    echo /etc/holdfast/config.yaml >"$folder/DEBIAN/conffiles"
    # dpkg keeps its own sums of configuration files.
    (cd "$folder" && find usr -type f -print0 | sort -z | xargs -0 md5sum >DEBIAN/md5sums)
    for file in packaging/scripts/deb/*; do
        { echo '#!/bin/sh'; script_of deb "${file##*/}"; } >"$folder/DEBIAN/${file##*/}"
        chmod 0755 "$folder/DEBIAN/${file##*/}"
    done
    settle "$folder"
    # One thread: how the compressor cuts its input must not depend on the machine.
    dpkg-deb --root-owner-group -Zxz -z7 --threads-max=1 --build "$folder" "$out/$name" >/dev/null
    made+=("$name")
}

# In KiB as dpkg counts it: files rounded up, one for everything else.
installed_size() {
    find "$1" -mindepth 1 -path "$1/DEBIAN" -prune -o -printf '%y %s\n' |
        awk '$1 == "f" { sum += int(($2 + 1023) / 1024); next } { sum++ } END { print sum }'
}
