# shellcheck shell=bash
# The tree of files that both packages are made from: target/package/ARCH/root.

# One file into the tree, as it will be on a host.
put() {
    install -D -m "$1" "$2" "$tree/$3"
}

# The same, compressed as Debian's policy wants it: without name and time.
put_gz() {
    put 0644 "$1" "$2"
    gzip -n9 "$tree/$2"
}

# make_tree ARCH BINARY NATIVE: NATIVE is the program that can run here, and writes the manual.
make_tree() {
    local documents=$work/$1/documents file
    tree=$work/$1/root
    rm -rf "${work:?}/$1"
    mkdir -p "$tree" "$documents"
    "$3" documents "$documents"

    put 0755 "$2" usr/bin/holdfast
    # The configuration tells which findings are accepted, and why: that is no other user's business.
    put 0640 config/config.yaml etc/holdfast/config.yaml

    for file in holdfast.service holdfast-check.service holdfast-check.timer; do
        put 0644 "systemd/$file" "usr/lib/systemd/system/$file"
    done
    put 0644 systemd/holdfast.tmpfiles.conf usr/lib/tmpfiles.d/holdfast.conf
    put 0644 packaging/holdfast.preset usr/lib/systemd/system-preset/80-holdfast.preset
    put 0644 "$documents/holdfast.catalog" usr/lib/systemd/catalog/holdfast.catalog

    for file in "$documents"/man/*.[1-9]; do
        put_gz "$file" "usr/share/man/man${file##*.}/${file##*/}"
    done
    put 0644 "$documents/completions/holdfast.bash" usr/share/bash-completion/completions/holdfast
    put 0644 "$documents/completions/_holdfast" usr/share/zsh/site-functions/_holdfast
    put 0644 "$documents/completions/holdfast.fish" usr/share/fish/vendor_completions.d/holdfast.fish

    # What is used and not only read stays out of the documentation, which minimal hosts leave out.
    for file in config/{rbac,sysusers.d,prometheus,grafana}/*; do
        put 0644 "$file" "usr/share/holdfast/${file#config/}"
    done

    for file in README.md SECURITY.md "$documents"/{controls,events}.md; do
        put 0644 "$file" "usr/share/doc/holdfast/${file##*/}"
    done
    put_gz CHANGELOG.md usr/share/doc/holdfast/changelog
    packaging/libraries "$(target_of "$1")" "$(compiler_of "$2")" >"$work/$1/libraries"
    put_gz "$work/$1/libraries" usr/share/doc/holdfast/libraries
    settle "$tree"
}

# Every time in a tree is that of the commit.
settle() {
    find "$1" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +
}

# A script of a package: how systemd is asked there, what both do, and what this one does.
script_of() {
    printf '# Made of packaging/scripts.\nset -e\nversion=%s\n\n' "$package_version"
    cat "packaging/scripts/$1.sh" packaging/scripts/common.sh "packaging/scripts/$1/$2"
}
