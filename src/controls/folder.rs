//! The guard of the manifests folder.

use super::{Control, FolderRule, Remedy, Requirement, id};

/// The rows of this table.
#[expect(clippy::too_many_lines, reason = "a table")]
pub(super) fn controls() -> Vec<Control> {
    let row =
        |row_id, rule: &'static str, title: &'static str, rationale, folder_rule, remedy, sources| Control {
            id: id(row_id),
            rule: rule.into(),
            title: title.into(),
            rationale,
            remedy,
            requirement: Requirement::Folder(folder_rule),
            sources,
        };
    vec![
        row(
            "X-FILE-02",
            "folder.no-unknown-manifest",
            "no unknown file lies in the manifests folder",
            "A file here runs as a pod with the node's rights, without the API server being asked: static pods are a known way to \
             stay on a node (MITRE ATT&CK T1610, Microsoft MS-TA9017). What was there at Holdfast's first start is announced and \
             then known; list others under manifests.known.",
            FolderRule::NoUnknownManifest,
            Remedy::Quarantine,
            "Microsoft MS-TA9017 Static pods; MITRE ATT&CK T1053.007, T1543, T1610",
        ),
        row(
            "X-FILE-03",
            "folder.no-duplicate-pod",
            "no two files define the same pod",
            "A backup copy in the folder is a second definition of the same pod: at each listing the last name in sorted order wins, so \
             the copy runs and the real manifest does not. Taking the copy away restarts the pod: with manifests.quarantine: true the \
             copy of a component's manifest is moved, unless it stands under manifests.known, and the kubelet told at once of the real \
             one. Of two files that are both a component's, or neither, Holdfast moves none.",
            FolderRule::NoDuplicatePod,
            Remedy::Quarantine,
            "kubernetes/kubernetes#136962; kubernetes pkg/kubelet/config/file.go",
        ),
        row(
            "X-FILE-07",
            "folder.plain-files",
            "manifests are plain files with one name, no special bits and no further readers",
            "A symbolic link lets whoever owns its target write the manifest, and the kubelet does not notice when the target changes; a \
             second hard link is a second door to the same file. A setuid, setgid or sticky bit has no use on a manifest, and an access \
             control list lets in whom the mode does not show.",
            FolderRule::PlainFiles,
            Remedy::InPart(
                "the file itself in the place of the link (cp --remove-destination), the other hard link removed, or the access control list \
                 taken away (setfacl -b, and then chmod 0600: its mask becomes the group's rights)",
            ),
            "kubernetes/kubernetes#40123; acl(5)",
        ),
        row(
            "HF-FOLDER-1",
            "folder.no-subfolder",
            "no subfolder lies in the manifests folder",
            "The kubelet does not enter it and logs an error every 20 seconds; what lies in it looks like a manifest and is none.",
            FolderRule::NoSubfolder,
            Remedy::ReportOnly("a move of the folder to a place outside the manifests folder"),
            "kubernetes pkg/kubelet/config/file.go",
        ),
        row(
            "HF-FOLDER-2",
            "folder.all-parsable",
            "the kubelet can read every manifest",
            KUBELET_READS_ALL_AND_STOPS,
            FolderRule::AllParsable,
            Remedy::ReportOnly("the file mended by hand, or moved out of the folder if it is no manifest"),
            "kubernetes pkg/kubelet/config/file.go; seen on a live kubelet",
        ),
    ]
}

const KUBELET_READS_ALL_AND_STOPS: &str = "To the kubelet a manifest that it cannot read is an absent one: it stops that pod within 20 seconds. \
    When no file of the folder can be read it stops the whole control plane.";
