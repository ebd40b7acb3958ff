//! Lamps: a word of one node to all others, that holds as long as it is said again.

use std::time::Duration;

use fred::error::Error as Fault;
use fred::interfaces::{ClientLike as _, KeysInterface as _};
use fred::types::Expiration;

use crate::store::Error;
use crate::store::redis::Redis;

impl Redis {
    fn lamp_key(&self, name: &str) -> String {
        format!("{}lamp:{name}", self.0.config.redis.prefix)
    }

    /// Says a word for `age`.
    ///
    /// # Errors
    /// While Redis is away.
    pub(crate) async fn light(&self, name: &str, age: Duration) -> Result<(), Error> {
        self.generation()?;
        let age_ms = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
        let commands = self.0.commands.with_options(&self.0.options);
        let age = Some(Expiration::PX(age_ms));
        let set: Result<(), Fault> = commands
            .set(self.lamp_key(name), "1", age, None, false)
            .await;
        set.map_err(|error| self.failed(&error))
    }

    /// Whether some node says a word.
    ///
    /// # Errors
    /// While Redis is away.
    pub(crate) async fn is_lit(&self, name: &str) -> Result<bool, Error> {
        self.generation()?;
        let commands = self.0.commands.with_options(&self.0.options);
        let found: Result<i64, Fault> = commands.exists(self.lamp_key(name)).await;
        found
            .map(|count| count > 0)
            .map_err(|error| self.failed(&error))
    }
}
