//! The events.

use super::{Event, Field, Priority};

const OF_CONTROL: &[Field] = &[Field::Control, Field::Object, Field::Path];
const OF_CHANGE: &[Field] = &[Field::Control, Field::Path];
const OF_FILE: &[Field] = &[Field::Path];
const OF_ROTATION: &[Field] = &[Field::Rotation, Field::Step, Field::Key];
const OF_OBJECT: &[Field] = &[Field::Object];
const OF_KEY: &[Field] = &[Field::Key];
const NONE: &[Field] = &[];

/// Declares the events and the list of all of them.
macro_rules! events {
    ($($(#[$doc:meta])* $name:ident = $id:literal, $shown:literal, $priority:ident, $fields:ident, $subject:literal, $meaning:literal, $remedy:literal;)+) => {
        $($(#[$doc])* pub const $name: Event = Event {
            id: $id,
            name: $shown,
            priority: Priority::$priority,
            fields: $fields,
            subject: $subject,
            meaning: $meaning,
            remedy: $remedy,
        };)+

        /// Every event, in the order of the manual.
        pub const ALL: &[Event] = &[$($name),+];
    };
}

events! {
    /// The daemon began.
    STARTED = "5e0d1f0c0b7a4c0f9b7d2c9e6f1a3b0a", "started", Notice, NONE,
        "Holdfast watches this node",
        "The daemon has started and looks at the whole node now, then at each change. In mode audit it reports and touches nothing; in mode \
         enforce it mends what its configuration selects.",
        "Nothing. `holdfast check` shows what does not hold.";
    /// The daemon waits for a control plane.
    NO_CONTROL_PLANE = "5e0d1f0c0b7a4c0f9b7d2c9e6f1a3b10", "no-control-plane", Notice, OF_FILE,
        "There is no control plane on this host yet",
        "No manifest of a control plane component lies in the manifests folder. Holdfast waits for one and begins by itself, as after `kubeadm init` \
         or `kubeadm join --control-plane`.",
        "Nothing, if this host is to become a control-plane node. Else remove the package.";
    /// The daemon ended.
    ENDED = "5e0d1f0c0b7a4c0f9b7d2c9e6f1a3b11", "ended", Notice, NONE,
        "Holdfast ends",
        "The daemon was asked to end, and has brought what was in flight to its end, or has told before (ended-early) why not. Nothing watches the node \
         from now on.",
        "Nothing, if you stopped it. `systemctl start holdfast` starts it again.";
    /// The configuration was read again.
    RELOADED = "5e0d1f0c0b7a4c0f9b7d2c9e6f1a3b12", "reloaded", Notice, NONE,
        "The configuration was read again",
        "What it says holds from now on.",
        "Nothing.";
    /// The new configuration is refused.
    RELOAD_REFUSED = "5e0d1f0c0b7a4c0f9b7d2c9e6f1a3b13", "reload-refused", Err, NONE,
        "The new configuration is refused, and the old one stays",
        "Holdfast was asked to read its configuration again, and cannot use what is there. It goes on with the former one.",
        "If the message names a line, mend /etc/holdfast/config.yaml there, try it with `holdfast validate`, then `systemctl reload holdfast`: \
         with such a file it would not start again. Other `paths` take a restart: `systemctl restart holdfast`.";
    /// The daemon could not do its work.
    TROUBLE = "5e0d1f0c0b7a4c0f9b7d2c9e6f1a3b0b", "trouble", Err, OF_FILE,
        "Holdfast cannot do its work",
        "Something that Holdfast needs to judge or to mend this node fails: its state folder cannot be written, a disk is full. It \
         tries again, and the node is not looked after until it succeeds.",
        "See to what the message names. It is told once, and again when it changes.";
    /// Folders cannot be watched.
    UNWATCHED = "0f6e2f7b8d8c4b6f9a1d3c5e7a9b2d41", "unwatched", Warning, NONE,
        "Holdfast cannot watch all that it guards",
        "The system has no inotify instance or watch left for root, or refuses one. Holdfast looks every ten seconds instead, and tries again each time.",
        "See which programs use them up, or raise what the message names (`sysctl`). It is told once, until all is watched again.";
    /// Something that is worth knowing stands against full work.
    CIRCUMSTANCE = "5e0d1f0c0b7a4c0f9b7d2c9e6f1a3b14", "circumstance", Warning, NONE,
        "Something unusual stands beside the work of Holdfast",
        "Holdfast goes on in spite of what the message names, and somebody should know that it does: a kubeadm that has run for so long that it is no \
         longer waited for.",
        "See whether what the message names is meant to be so, and end it if it is not.";
    /// A manifest that was out came back.
    RECOVERED = "5e0d1f0c0b7a4c0f9b7d2c9e6f1a3b15", "recovered", Warning, OF_FILE,
        "A static pod manifest was out of its folder, and is back",
        "Holdfast, or the machine, was stopped in the middle of a restart of a component. The kubelet starts the component within 20 s.",
        "See that the component is healthy: `kubectl get --raw /readyz`.";
    /// Holdfast was paused.
    PAUSED = "5e0d1f0c0b7a4c0f9b7d2c9e6f1a3b08", "paused", Warning, NONE,
        "Holdfast is paused, and changes nothing",
        "Somebody asked for it, for the time and the reason that the message names. Drift is reported and not mended; a manifest that is out is put back \
         all the same.",
        "`holdfast resume` ends it; it ends by itself at its time.";
    /// Holdfast is no longer paused.
    RESUMED = "5e0d1f0c0b7a4c0f9b7d2c9e6f1a3b16", "resumed", Notice, NONE,
        "Holdfast is no longer paused",
        "What has drifted meanwhile is mended now, in mode enforce.",
        "Nothing.";
    /// A manifest was there at the first start.
    BASELINE = "5e0d1f0c0b7a4c0f9b7d2c9e6f1a3b09", "baseline", Notice, OF_OBJECT,
        "A manifest is known from now on",
        "It lay in the manifests folder when Holdfast first saw a control plane on this node, which takes it for the operator's. What comes later and is not named in \
         `manifests.known` is a drift of X-FILE-02.",
        "See that it belongs there: the kubelet runs it as root, without asking the API server.";
    /// A control does not hold.
    DRIFT = "5e0d1f0c0b7a4c0f9b7d2c9e6f1a3b01", "drift", Warning, OF_CONTROL,
        "A control does not hold",
        "The message says what was found, what must hold, and since when it can have been so. It is told before anything is mended, since a drift may \
         be the trace of a break-in, and once, until it changes.",
        "Find out who made the change. `holdfast explain @HOLDFAST_CONTROL@` says why it matters; in mode enforce it is mended where there is \
         a remedy, else `holdfast plan` shows it, and an exception in the configuration accepts it.";
    /// A control holds again.
    HOLDS_AGAIN = "5e0d1f0c0b7a4c0f9b7d2c9e6f1a3b02", "holds-again", Info, OF_CONTROL,
        "A control holds again",
        "What was told as a drift, or as unknown, was looked at again and holds, by whomever it was mended.",
        "Nothing.";
    /// A fact could not be had.
    UNKNOWN = "5e0d1f0c0b7a4c0f9b7d2c9e6f1a3b03", "unknown", Warning, OF_CONTROL,
        "Whether a control holds cannot be told",
        "A fact that it is judged by cannot be read or understood for certain. It counts as neither held nor drifted, and nothing is changed on a guess.",
        "See to what the message names, or accept it by an exception in the configuration.";
    /// A mend needs the operator.
    HELD_BACK = "5e0d1f0c0b7a4c0f9b7d2c9e6f1a3b07", "held-back", Warning, OF_CONTROL,
        "A drift is not mended until somebody sees to it",
        "There is a remedy, and something that only a person can change stands against it; the message says what.",
        "See to that; `holdfast plan` shows what would be done then.";
    /// A mend waits.
    HELD_BACK_FOR_NOW = "5e0d1f0c0b7a4c0f9b7d2c9e6f1a3b17", "held-back-for-now", Info, OF_CONTROL,
        "A drift is mended later",
        "Time alone ends what stands against it: kubeadm runs, a component is not healthy at the moment, the disruption window is closed.",
        "Nothing.";
    /// A change was made.
    CHANGED = "5e0d1f0c0b7a4c0f9b7d2c9e6f1a3b04", "changed", Notice, OF_CHANGE,
        "The node was changed",
        "A change was begun, or made and proven. What was there before is kept in /var/lib/holdfast/backups.",
        "Nothing. If it is not wanted, set the control to `mode: audit` or give it another value, and undo it.";
    /// What a change waits for.
    WAITING = "5e0d1f0c0b7a4c0f9b7d2c9e6f1a3b18", "waiting", Info, OF_CHANGE,
        "A change that is in flight waits",
        "A component is being restarted, and what the message names is awaited. If it does not come within the deadline, the former content goes back.",
        "Nothing.";
    /// The node refused a change.
    REFUSED = "5e0d1f0c0b7a4c0f9b7d2c9e6f1a3b05", "refused", Err, OF_CHANGE,
        "The node did not bear a change, which was undone",
        "A component did not become healthy with its new content, and has its former content back. The message holds its last words. The change is not tried \
         again until something that it depends on changes.",
        "Read the last words, mend what they name, then `holdfast apply --retry`. If the message says that the component is not healthy again, do at once \
         what it says under `By hand`.";
    /// A change could not be made, completed or undone.
    FAILED = "5e0d1f0c0b7a4c0f9b7d2c9e6f1a3b06", "failed", Err, OF_CHANGE,
        "A change could not be made, or is stuck",
        "The system refused a step, or the node is in neither the former nor the new state. The journal of Holdfast knows how far it came, and it is tried \
         again. It is told once, and again when it fails otherwise.",
        "See to what the message names: a full or read-only disk, an immutable file, a kubelet that does not run.";
    /// A change was given up.
    GIVEN_UP = "5e0d1f0c0b7a4c0f9b7d2c9e6f1a3b19", "given-up", Info, OF_CHANGE,
        "A change was given up before it did anything",
        "The node is no longer what it was when the change was planned. The next pass plans anew.",
        "Nothing.";
    /// A restart may take longer.
    SLOW_RESTART = "5e0d1f0c0b7a4c0f9b7d2c9e6f1a3b29", "slow-restart", Warning, OF_FILE,
        "A component starts again later than it could",
        "What the kubelet or the container runtime was to be told, or has left, could not be seen to: the component is started up to 20 s later.",
        "Nothing, if it is rare. Else see why the container runtime does not answer.";
    /// A file stays beside the manifests folder.
    LEFT_BESIDE = "5e0d1f0c0b7a4c0f9b7d2c9e6f1a3b2a", "left-beside", Warning, OF_FILE,
        "A former manifest stays beside the manifests folder",
        "A change has ended, and what lay out of the folder meanwhile could not be removed. Nothing runs it.",
        "Look whether you need it, then remove it.";
    /// Something small stays undone.
    LEFTOVER = "5e0d1f0c0b7a4c0f9b7d2c9e6f1a3b2b", "leftover", Info, OF_FILE,
        "Something small could not be done",
        "An old copy, a log or a status file of Holdfast could not be removed or written. Nothing depends on it.",
        "Nothing, if it is rare. Else look at the disk.";
    /// The metrics cannot be written.
    METRICS_UNWRITTEN = "5e0d1f0c0b7a4c0f9b7d2c9e6f1a3b2c", "metrics-unwritten", Warning, NONE,
        "The metrics are not written, or a former file of them stays",
        "The file that `metrics.textfile` names cannot be written, or one of before cannot be removed, so what reads them gets old figures, or none. \
         Everything else goes on.",
        "See to what the message names, or name another file. It is told once, until it succeeds.";
    /// Encryption at rest is watched.
    ENCRYPTION_WATCHED = "5e0d1f0c0b7a4c0f9b7d2c9e6f1a3b1a", "encryption-watched", Notice, OF_FILE,
        "Encryption at rest is watched from now on",
        "What the API server encrypts with, by the file that is named, is known, and each change of it is told from now on.",
        "Nothing.";
    /// Encryption at rest cannot be watched.
    ENCRYPTION_UNWATCHED = "5e0d1f0c0b7a4c0f9b7d2c9e6f1a3b1b", "encryption-unwatched", Err, OF_FILE,
        "Encryption at rest is not watched",
        "Its configuration, or what Holdfast keeps of it, cannot be read or written, so a change that takes keys away would not be seen, or not be \
         mended. If it was watched before, no component is restarted until that is over.",
        "See to what the message names: a full disk, a file of /var/lib/holdfast/retained that is damaged or gone. `holdfast encryption status` says \
         what can be told.";
    /// The configuration of encryption was changed and nothing is lost.
    ENCRYPTION_CHANGED = "5e0d1f0c0b7a4c0f9b7d2c9e6f1a3b0c", "encryption-changed", Warning, OF_FILE,
        "The configuration of encryption at rest was changed",
        "Somebody changed the file, the flag, the mount or the write key. No stored value needs what went.",
        "Find out who. `holdfast encryption status` shows what holds now.";
    /// Stored values may need what was taken away.
    ENCRYPTION_ENDANGERED = "5e0d1f0c0b7a4c0f9b7d2c9e6f1a3b1c", "encryption-endangered", Err, OF_FILE,
        "What stored values need was taken away",
        "Without it the API server cannot read them, or writes in plaintext. The message says what is gone, how many values need it, and \
         whether it was put back, which is done in mode enforce.",
        "If it was not put back: at once, from /var/lib/holdfast/retained (`holdfast encryption keys`). Then find out who took it away.";
    /// It is in order again.
    ENCRYPTION_IN_ORDER = "5e0d1f0c0b7a4c0f9b7d2c9e6f1a3b1d", "encryption-in-order", Notice, OF_FILE,
        "Encryption at rest is in order",
        "What was told before is over: the configuration is as it is known, or no value is left in plaintext.",
        "Nothing.";
    /// The API server is restarted for its configuration.
    ENCRYPTION_MENDED = "5e0d1f0c0b7a4c0f9b7d2c9e6f1a3b1e", "encryption-mended", Notice, OF_FILE,
        "The API server is given back what stored values need",
        "Its manifest or its configuration lost something, which is put back; the one restart that it takes has begun.",
        "Find out who took it away. After `kubeadm upgrade`: bring kubeadm-config in line (`holdfast encryption enable`).";
    /// The API server waits for what it needs.
    ENCRYPTION_WAITS = "5e0d1f0c0b7a4c0f9b7d2c9e6f1a3b1f", "encryption-waits", Warning, OF_FILE,
        "Encryption at rest is not in order yet",
        "What is to be done for it is known, and something stands against it; the message says what.",
        "See to that, if it is not time alone.";
    /// Values are in plaintext, and nothing may be done about it.
    PLAINTEXT = "5e0d1f0c0b7a4c0f9b7d2c9e6f1a3b28", "plaintext", Err, OF_FILE,
        "Values are in plaintext that should be encrypted",
        "The API server wrote them while it had lost its configuration, and the daemon may not rewrite them in mode audit, or while it is paused. \
         It is told again each hour, on purpose, for as long as there are any.",
        "`holdfast encryption rotate` rewrites them under a new key.";
    /// Values are counted later.
    ENCRYPTION_COUNTED_LATER = "5e0d1f0c0b7a4c0f9b7d2c9e6f1a3b27", "encryption-counted-later", Info, OF_FILE,
        "Values in plaintext are counted later",
        "The API server may still write plaintext; what it has written is counted when it does not.",
        "Nothing.";
    /// A rotation began.
    ROTATION_BEGUN = "5e0d1f0c0b7a4c0f9b7d2c9e6f1a3b22", "rotation-begun", Notice, OF_ROTATION,
        "A rotation of encryption keys is begun",
        "It may be interrupted at any time: every value stays readable, and the old key goes only when it is proven that nothing needs it.",
        "Nothing. `holdfast encryption status` and /run/holdfast/rotation.json show how far it is.";
    /// A rotation took a step.
    ROTATION_STEP = "5e0d1f0c0b7a4c0f9b7d2c9e6f1a3b0d", "rotation-step", Notice, OF_ROTATION,
        "A rotation took a step",
        "C1 [old, new], C2 [new, old], rewriting, proof, C3 [new]: the message says which.",
        "Nothing.";
    /// How far a rotation is.
    ROTATION_PROGRESS = "5e0d1f0c0b7a4c0f9b7d2c9e6f1a3b23", "rotation-progress", Info, OF_ROTATION,
        "A rotation goes on",
        "How many values are rewritten, or what is awaited.",
        "Nothing.";
    /// A rotation stands still.
    ROTATION_STOPPED = "5e0d1f0c0b7a4c0f9b7d2c9e6f1a3b24", "rotation-stopped", Err, OF_ROTATION,
        "A rotation stands still",
        "It cannot go on, or was put back, for the reason that the message names. Every value is readable, under the old key or the new one.",
        "Do what the message says, then `holdfast encryption rotate` goes on, or `holdfast encryption abort` turns it back.";
    /// A rotation could not be looked at.
    ROTATION_TROUBLE = "5e0d1f0c0b7a4c0f9b7d2c9e6f1a3b25", "rotation-trouble", Warning, OF_ROTATION,
        "A rotation cannot be begun, or looked at, right now",
        "The API server, etcd or a file did not answer, or something stands against a beginning. It is tried again.",
        "See to what the message names, if it does not pass.";
    /// Before a rotation, something is worth knowing.
    ROTATION_BEFOREHAND = "5e0d1f0c0b7a4c0f9b7d2c9e6f1a3b26", "rotation-beforehand", Warning, OF_FILE,
        "Something is worth knowing before a rotation",
        "What a rotation leaves as it is, or may stumble over.",
        "Decide whether that is what you want.";
    /// An object was changed by a write that changes nothing.
    CHANGED_BY_NO_OP = "5e0d1f0c0b7a4c0f9b7d2c9e6f1a3b21", "changed-by-no-op", Warning, OF_OBJECT,
        "An object changed when it was written anew",
        "Rewriting an object stores what the server would store today: a mutating webhook, a pruned field or another version may \
         have changed it. The message names the object and what differs.",
        "See whether that is wanted.";
    /// Keys were removed for good.
    KEYS_FORGOTTEN = "5e0d1f0c0b7a4c0f9b7d2c9e6f1a3b20", "keys-forgotten", Notice, OF_KEY,
        "Retired keys were removed for good",
        "The operator asked for it, and no stored value was under them. Snapshots of etcd from before their retirement cannot be read without them.",
        "Nothing.";
    /// A manifest is out and could not be put back.
    NOT_RECOVERED = "d0383f375c0e4a89b4e0b3fb046797e6", "not-recovered", Err, OF_FILE,
        "A static pod manifest is out of its folder and could not be put back, or may be",
        "The kubelet does not run a component whose manifest is not in its folder. Holdfast tries again with each pass. Where a file cannot be looked at, it \
         cannot tell.",
        "At once: do what the message says under `by hand`, then `holdfast recover`.";
    /// A component's manifest is nowhere.
    MANIFEST_GONE = "5c1e9b0a7d3f4e1c8a6642f0d9b83e57", "manifest-gone", Warning, OF_FILE,
        "A static pod manifest is gone",
        "The component does not run on this node any more. It was not Holdfast that took the manifest away, so it does not put it back by itself. A copy is \
         of before Holdfast's last change of the manifest, or of before an upgrade: it may lack flags that stored values need.",
        "If that was not meant to be: see who it was, and do what the message says under `by hand`. Else nothing: each start of Holdfast tells it once.";
    /// The daemon did not start.
    NOT_STARTED = "b6f9613af987413a986589f108679124", "not-started", Err, NONE,
        "Holdfast cannot start",
        "Nothing watches this node. The message says what stands against it: for the configuration with its line and column.",
        "See to what the message names (`holdfast validate` tries a configuration), then `systemctl start holdfast`.";
    /// The daemon ended with a change in flight.
    ENDED_EARLY = "1b59a0f95ab8463db3edb143d6561e40", "ended-early", Warning, OF_FILE,
        "Holdfast has ended before a change did",
        "No manifest is out of its folder, and the change could not be brought to its end: the kubelet does not run, the journal cannot be used, or it took \
         too long. The next start carries it on.",
        "Nothing, if the machine goes down. Else start Holdfast again, and see what it tells.";
    /// A rotation waits for the operator's word.
    ROTATION_WAITS_FOR_CONSENT = "5d6d9592b8e222c884eb11c55bf77d5d", "rotation-waits-for-consent", Warning, OF_ROTATION,
        "A rotation is complete but for the removal of the old key, which waits for consent",
        "Every value is under the new key, and it is proven that nothing needs the old one. It stays readable until somebody consents to its removal, \
         because `encryption.cut` is ask, which is the default, or the rotation was begun with --keep-old. Nothing is wrong, and it may wait for as long as \
         you like.",
        "`holdfast encryption rotate --cut` removes the old key from the configuration, and keeps it in /var/lib/holdfast/retained; `holdfast encryption abort` \
         turns the rotation back instead. With `cut: auto` in the configuration the next one does not ask.";
}
