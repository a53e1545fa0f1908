//! Static-pod manifests: a typed view and a lossless editor.
