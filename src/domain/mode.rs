//! A file mode: the twelve permission bits of a Unix file, as a set.
//!
//! A ceiling is a mode too: a file is at least as strict as a ceiling when it has no bit outside it. Modes are
//! never compared as numbers: 0477 is smaller than 0644 and open to the world.

use std::fmt;
use std::str::FromStr;

/// The permission bits of a file, 0 to 0o7777.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Mode(u16);

/// A text that is no octal mode.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not a file mode: write three or four octal digits in quotes, like \"0600\"")]
pub struct InvalidMode(pub String);

impl Mode {
    /// Keeps the twelve permission bits of `st_mode`; the file type is dropped.
    #[must_use]
    pub const fn from_bits(bits: u32) -> Self {
        Self((bits & 0o7777) as u16)
    }

    /// The bits as the system calls take them.
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.0 as u32
    }

    /// True when no bit lies outside `ceiling`.
    #[must_use]
    pub const fn is_within(self, ceiling: Self) -> bool {
        self.0 & !ceiling.0 == 0
    }

    /// The mode of a folder that whoever may read may also enter.
    #[must_use]
    pub const fn of_folder(self) -> Self {
        Self(self.0 | (self.0 & 0o444) >> 2)
    }

    /// The mode without the bits outside `ceiling`; it never gains one.
    #[must_use]
    pub const fn tightened_to(self, ceiling: Self) -> Self {
        Self(self.0 & ceiling.0)
    }
}

impl FromStr for Mode {
    type Err = InvalidMode;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidMode(text.to_owned());
        if !(3..=4).contains(&text.len()) || !text.bytes().all(|b| (b'0'..=b'7').contains(&b)) {
            return Err(invalid());
        }
        u16::from_str_radix(text, 8).map(Self).map_err(|_| invalid())
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

impl fmt::Debug for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mode({self})")
    }
}

impl serde::Serialize for Mode {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Mode {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mode_against_every_ceiling_is_judged_bit_by_bit() {
        for bits in 0..=0o7777u32 {
            for ceiling in [0o600, 0o644, 0o700, 0o755, 0o000, 0o7777] {
                let (mode, ceiling) = (Mode::from_bits(bits), Mode::from_bits(ceiling));
                let widest = (0..12).all(|bit| bits >> bit & 1 == 0 || ceiling.bits() >> bit & 1 == 1);
                assert_eq!(mode.is_within(ceiling), widest, "{mode} under {ceiling}");
                let tightened = mode.tightened_to(ceiling);
                assert!(tightened.is_within(ceiling) && tightened.is_within(mode));
            }
        }
    }

    #[test]
    fn octal_text_round_trips_and_all_else_is_refused() {
        assert_eq!("0600".parse::<Mode>().unwrap().to_string(), "0600");
        assert_eq!("755".parse::<Mode>().unwrap(), Mode::from_bits(0o755));
        for bad in [
            "", "8", "0o600", "99", "06000", "rw-", "-600", " 600", "600 ", "+60",
        ] {
            assert_eq!(bad.parse::<Mode>(), Err(InvalidMode(bad.to_owned())));
        }
    }
}
