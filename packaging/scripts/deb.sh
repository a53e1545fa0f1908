# The Debian package: policy-rc.d may forbid what is asked of systemd.
ask() {
    deb-systemd-invoke "$@"
}

