# What the scripts of both packages do, so that they do the same. packaging/build puts this in front of each, after what differs: `ask`, which asks
# systemd for something.
#
# POSIX sh. Only a manifest that is out of its folder fails something, the removal; all else that goes wrong is said.

say() {
    printf 'holdfast: %s\n' "$1"
}

# In a container, or while an image is made, it does not.
systemd_runs() {
    [ -d /run/systemd/system ]
}

is_running() {
    systemctl --quiet is-active "$1"
}

# The explanations of `journalctl -x`, and the units. What is missing then is told again by systemd when it is asked for.
tell_systemd_of_files() {
    if command -v journalctl >/dev/null; then
        journalctl --update-catalog || say "the journal's catalog was not updated: journalctl --update-catalog"
    fi
    if systemd_runs; then
        systemctl --system daemon-reload || say "systemd has not read the units again: systemctl daemon-reload"
    fi
}

make_folders() {
    if command -v systemd-tmpfiles >/dev/null; then
        systemd-tmpfiles --create holdfast.conf || say "the folders were not made; the daemon makes them when it starts"
    fi
}

start_for_the_first_time() {
    if ! systemd_runs; then
        say "systemd does not run here, so the service was not started."
    elif ! systemctl --quiet is-enabled holdfast.service; then
        say "holdfast.service is not enabled, as this host has it, and was not started: systemctl enable --now holdfast.service"
    elif ask start holdfast.service && is_running holdfast.service; then
        say "The service reports and changes nothing (mode: audit, /etc/holdfast/config.yaml): holdfast check, journalctl -u holdfast"
    else
        say "the service was not started: systemctl status holdfast.service"
    fi
}

# Before a version takes the place of the one that is there. It may be meant; what it may cost has to be said before it is done.
tell_if_newer() {
    [ "$1" != "$version" ] || return 0
    [ "$(printf '%s\n%s\n' "$1" "$version" | sort -V | tail -n 1)" = "$1" ] || return 0
    say "$version takes the place of the newer $1. If it cannot read the journal of that, it says so and changes nothing until $1 is installed again."
    say "Let a rotation of encryption keys end first: holdfast encryption status"
}

# The daemon that runs is still the former program. It is asked to end, which it does between two changes, only if the new one shows that it can
# go on from this configuration and this journal; else the node would have no guard at all.
restart_what_runs() {
    systemd_runs || return 0
    ask try-restart holdfast-check.timer || say "holdfast-check.timer was not restarted"
    is_running holdfast.service || return 0
    code=0
    # 2 and 3 are findings. What is said with them is for whoever asks.
    why=$(timeout 120 holdfast check 2>&1 >/dev/null) || code=$?
    case "$code" in
        0 | 2 | 3) ;;
        *)
            say "The daemon that runs was not restarted and is still the former version, since this one cannot go on from here (exit code $code):"
            printf '%s\n' "$why"
            say "See to that, then: systemctl restart holdfast.service"
            return 0
            ;;
    esac
    ask try-restart holdfast.service || say "the service did not start again: systemctl status holdfast.service"
}

# A manifest beside its folder, where kubeadm has that: for a program that cannot be asked.
lies_out() {
    for file in /etc/kubernetes/*.holdfast-out; do
        [ ! -e "$file" ] || return 0
    done
    return 1
}

# What `kubeadm reset` leaves: copies of ours, and no manifest that they could belong to.
was_reset() {
    [ ! -e /etc/kubernetes/kubelet.conf ] && [ -z "$(ls /etc/kubernetes/manifests 2>/dev/null)" ] &&
        ! lies_out && ! cat /proc/[0-9]*/comm 2>/dev/null | grep -qx kubelet
}

nothing_is_out() {
    code=0
    holdfast recover || code=$?
    case "$code" in
        0) return 0 ;;
        # It is not there, or is no program that runs here.
        12[67] | 1[3-9]?) ! lies_out ;;
        *) was_reset && say "No control plane is left on this host, so no manifest is missing." ;;
    esac
}

# Before the program goes: it is what knows how to put a manifest back.
before_removal() {
    ran=''
    if systemd_runs; then
        for unit in holdfast.service holdfast-check.timer; do
            ! is_running "$unit" || ran="$ran $unit"
        done
        ask stop holdfast-check.timer holdfast-check.service holdfast.service || say "the service could not be stopped"
    fi
    if nothing_is_out; then
        return 0
    fi
    for unit in $ran; do
        ask start "$unit" || say "$unit did not start again: systemctl status $unit"
    done
    say "Holdfast was not removed: a manifest may be out of its folder, and a node without that manifest has no control plane. See to what is said above,"
    say "then remove it again. If this host is to have no control plane any more: move /var/lib/holdfast/backups away first."
    return 1
}

tell_what_stays() {
    say "What was hardened on this node stays hardened."
    [ ! -d /var/lib/holdfast ] || say "/var/lib/holdfast stays: the journal, copies of former manifests, encryption keys and what was put into quarantine."
}
