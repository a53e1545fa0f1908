# What the scripts of both packages do, so that they do the same. packaging/build puts this in front of each, after what differs: `ask`, which asks
# systemd for something.
#
# POSIX sh. Only a manifest that is out of its folder fails something, the removal; all else that goes wrong is said. The program goes by its whole
# path: a copy that somebody put into /usr/local/bin must not judge.

say() {
    printf 'holdfast: %s\n' "$1"
}

# In a container, or while an image is made, it does not.
systemd_runs() {
    [ -d /run/systemd/system ]
}

# Also while it starts, which takes a first pass, while it ends, and while it waits for its next try.
is_running() {
    case "$(systemctl is-active "$1" 2>/dev/null)" in
        inactive | failed | unknown | '') return 1 ;;
    esac
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
    elif ask start holdfast.service && systemctl --quiet is-active holdfast.service; then
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
    why=$(timeout 120 /usr/bin/holdfast check 2>&1 >/dev/null) || code=$?
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

nothing_is_out() {
    code=0
    /usr/bin/holdfast recover || code=$?
    case "$code" in
        # 2: one is missing that does not lie out, which may be meant to be so, and was said.
        0 | 2) return 0 ;;
        # It is not there, is no program that runs here, or was ended by a signal: what lies beside the folder where kubeadm has that counts.
        12[679] | 1[3-9]?)
            for file in /etc/kubernetes/*.holdfast-out; do
                [ ! -e "$file" ] || { say "$file is out of its folder, and /usr/bin/holdfast cannot put it back (exit code $code)."; return 1; }
            done
            ;;
        *) return 1 ;;
    esac
}

# What the JSON of `encryption status` has under that name of the rotation.
of_rotation() {
    printf '%s\n' "$rotation" | sed -n "s/^    \"$1\": \"\(.*\)\",\{0,1\}\$/\1/p"
}

# Said while the rotation can still end or be turned back, and no reason to refuse: nothing is lost by it.
tell_of_a_rotation() {
    rotation=$(timeout -k 5 60 /usr/bin/holdfast encryption status --output json 2>/dev/null | sed -n '/^  "rotation": {$/,/^  }/p') || :
    [ -n "$rotation" ] || return 0
    say "A rotation of encryption keys is open: old $(of_rotation from), new $(of_rotation to); the configuration is on its way to $(of_rotation stage)."
    say "The keys stay where they are, there and in /var/lib/holdfast. What goes is the guard: a key that is lost there is put back by nobody."
    say "It should have ended (holdfast encryption status tells how far it is) or been turned back (holdfast encryption abort) first. The removal goes on;"
    say "for either, install Holdfast again."
}

# Before the program goes: it is what knows how to put a manifest back.
before_removal() {
    tell_of_a_rotation
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
    say "Holdfast was not removed: a manifest may be out of its folder, and a node without that manifest has no control plane."
    say "See to what is said above, then remove it again."
    return 1
}

tell_what_stays() {
    say "What was hardened on this node stays hardened."
    [ ! -d /var/lib/holdfast ] || say "/var/lib/holdfast stays: the journal, copies of former manifests, encryption keys and what was put into quarantine."
}

# systemd keeps when a persistent timer last elapsed, and removes that for no unit that is gone.
forget_the_timer() {
    rm -f /var/lib/systemd/timers/stamp-holdfast-check.timer || say "/var/lib/systemd/timers/stamp-holdfast-check.timer could not be removed"
}
