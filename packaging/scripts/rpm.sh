# The rpm.
ask() {
    systemctl --quiet "$@"
}

