//! Passwords of people, as bcrypt hashes: what the admin UI of Socket.IO is configured with.

use bcrypt::HashParts;

use crate::auth::Secret;

/// Most work that a hash may ask for: 2 to this power, about a second.
const COST_MAX: u32 = 14;

/// A password that is known by its hash. Comparing takes a tenth of a second of a core on purpose.
#[derive(Debug, Clone)]
pub struct Password(Secret);

/// A text is no hash of a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// It is something else.
    #[error(
        "this is no bcrypt hash: make one with `htpasswd -nbB admin PASSWORD` and keep what follows `admin:`"
    )]
    NoHash,
    /// It takes too long.
    #[error("a bcrypt cost above {COST_MAX} would keep a core busy for seconds at every sign-in")]
    TooCostly,
}

impl Password {
    /// The password of a hash.
    ///
    /// # Errors
    /// When it is none.
    pub fn of(hash: &Secret) -> Result<Self, PasswordError> {
        let parts: HashParts = hash.reveal().parse().map_err(|_| PasswordError::NoHash)?;
        if parts.get_cost() > COST_MAX {
            return Err(PasswordError::TooCostly);
        }
        Ok(Self(hash.clone()))
    }

    /// Whether a text is the password. Blocks for as long as that takes.
    pub fn is(&self, text: &str) -> bool {
        bcrypt::verify(text, self.0.reveal()).unwrap_or(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_of_one_password_and_of_no_other() {
        // As bcryptjs and htpasswd write it, of `changeit`, with a low cost.
        let hash = bcrypt::hash("changeit", 4).unwrap();
        for hash in [
            hash.clone(),
            hash.replacen("$2b$", "$2a$", 1),
            hash.replacen("$2b$", "$2y$", 1),
        ] {
            let password = Password::of(&hash.into()).unwrap();
            assert!(password.is("changeit"));
            assert!(!password.is("changeit "));
            assert!(!password.is(""));
        }
    }

    #[test]
    fn what_is_no_hash_is_refused_with_how_to_make_one() {
        let no_hash = Password::of(&"changeit".to_owned().into()).unwrap_err();
        assert_eq!(no_hash, PasswordError::NoHash);
        assert!(no_hash.to_string().contains("htpasswd"));
        let hash = bcrypt::hash("changeit", 4)
            .unwrap()
            .replacen("$04$", "$31$", 1);
        assert_eq!(
            Password::of(&hash.into()).unwrap_err(),
            PasswordError::TooCostly
        );
    }
}
