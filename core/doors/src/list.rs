//! The one list of doors, and all that follows from it.

/// Makes [`Evidence`](crate::Evidence) and [`METHODS`](crate::METHODS) of a list of doors.
macro_rules! doors {
    ($($door:path as $name:ident),+ $(,)?) => {
        /// What every way in says of itself.
        pub const METHODS: &[Method] = &[$(Method {
            method: <$door as Door>::METHOD,
            summary: <$door as Door>::SUMMARY,
            usage: <$door as Door>::USAGE,
            schema: <$door as Door>::schema,
        }),+];

        /// Parsed evidence of one of the doors.
        pub enum Evidence {
            $(
                #[doc = concat!("For [`", stringify!($door), "`].")]
                $name(<$door as Door>::Evidence),
            )+
        }

        impl Evidence {
            /// Finds the door of that name and lets it parse the evidence; `None` where there is no such door.
            ///
            /// # Errors
            /// What is wrong with the evidence.
            pub fn parse(method: &str, evidence: &serde_json::Value) -> Option<Result<Self, EvidenceError>> {
                $(if method == <$door as Door>::METHOD {
                    return Some(<$door as Door>::parse(evidence).map(Self::$name));
                })+
                None
            }

            /// Judges the evidence, one step at a time.
            ///
            /// # Errors
            /// The refusal of whoever shows nothing that holds.
            pub fn step(&self, given: Given) -> Result<Step<'_>, muster_model::Refusal> {
                match self {
                    $(Self::$name(evidence) => <$door as Door>::step(evidence, given),)+
                }
            }

            /// The name of its door.
            pub fn method(&self) -> &'static str {
                match self {
                    $(Self::$name(_) => <$door as Door>::METHOD,)+
                }
            }
        }
    };
}

/// What a way in says of itself.
#[derive(Debug, Clone, Copy)]
pub struct Method {
    /// Its name on the wire.
    pub method: &'static str,
    /// What it is, in a sentence for people.
    pub summary: &'static str,
    /// How a person uses it: the command to type.
    pub usage: &'static str,
    /// JSON Schema of its evidence.
    pub schema: fn() -> serde_json::Value,
}
