//! EAPI, as far as it decides what `SRC_URI` may say (PMS, "`SRC_URI`").

/// The EAPI of an ebuild. One that is not a number may do everything, as in Portage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Eapi(u32);

impl Eapi {
    /// Reads the value of EAPI; an ebuild that sets none has EAPI 0.
    pub fn new(value: &str) -> Self {
        let value = value.trim();
        if value.is_empty() { Self(0) } else { Self(value.parse().unwrap_or(u32::MAX)) }
    }

    /// `URI -> NAME`.
    pub fn has_arrows(self) -> bool {
        self.0 >= 2
    }

    /// `fetch+URI` and `mirror+URI`.
    pub fn has_selective_restrictions(self) -> bool {
        self.0 >= 8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_each_may_say() {
        for (value, arrows, prefixes) in [
            ("", false, false),
            ("0", false, false),
            ("1", false, false),
            ("2", true, false),
            ("7", true, false),
            ("8", true, true),
            (" 9\n", true, true),
            ("4-python", true, true),
        ] {
            let eapi = Eapi::new(value);
            assert_eq!((eapi.has_arrows(), eapi.has_selective_restrictions()), (arrows, prefixes), "{value}");
        }
    }
}
