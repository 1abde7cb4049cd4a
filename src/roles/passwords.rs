//! Turns passwords into what may be stored.
//!
//! A hash takes tens of milliseconds of one core and 19 MiB by intention, so only so many run at a
//! time, off the threads that serve.

use std::sync::Arc;

use argon2::password_hash::PasswordHasher;
use argon2::{Algorithm, Argon2, Params, Version};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use super::ambient::Ambient;
use super::apps::AppError;
use crate::ports::database::DatabaseError;

/// Memory in KiB, rounds and lanes: the least that OWASP's password storage cheat sheet asks for.
const COST: (u32, u32, u32) = (19 * 1024, 2, 1);
/// Those who may wait for their turn.
const WAITING: usize = 1_024;

/// Hashes with argon2id.
pub struct Passwords {
    ambient: Ambient,
    turns: Arc<Semaphore>,
    places: Semaphore,
}

impl Passwords {
    /// At most so many hashes at a time.
    #[must_use]
    pub fn new(ambient: Ambient, at_a_time: usize) -> Self {
        let turns = Arc::new(Semaphore::new(at_a_time.max(1)));
        Self { ambient, turns, places: Semaphore::new(WAITING) }
    }

    /// The PHC text of a password's hash.
    pub(super) async fn hash(
        &self,
        password: String,
        deadline: Instant,
    ) -> Result<String, AppError> {
        let _place = self.places.try_acquire().map_err(|_| AppError::Overloaded)?;
        let turn = timeout_at(deadline, Arc::clone(&self.turns).acquire_owned()).await;
        let Ok(Ok(turn)) = turn else { return Err(AppError::Overloaded) };
        // A salt must be unlike any other; it is no secret.
        let salt = self.ambient.unique();
        let hashing = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            hash(password.as_bytes(), salt.as_bytes())
        });
        let hashed = hashing.await.map_err(anyhow::Error::new).flatten();
        hashed.map_err(|error| AppError::Database(DatabaseError::Unexpected(error)))
    }
}

fn hash(password: &[u8], salt: &[u8]) -> anyhow::Result<String> {
    let (memory, rounds, lanes) = COST;
    let params = Params::new(memory, rounds, lanes, None)?;
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    Ok(argon2.hash_password_with_salt(password, salt)?.to_string())
}

#[cfg(test)]
mod tests {
    use argon2::password_hash::PasswordVerifier;
    use argon2::password_hash::phc::PasswordHash;

    use super::*;

    #[tokio::test]
    async fn hash_is_argon2id_salted_and_verifies_only_what_was_sent() {
        let passwords = Passwords::new(Ambient::real(), 2);
        let deadline = Instant::now() + std::time::Duration::from_secs(60);
        let (first, second) = tokio::join!(
            passwords.hash("3d72".to_owned(), deadline),
            passwords.hash("3d72".to_owned(), deadline),
        );
        let (first, second) = (first.expect("hashed"), second.expect("hashed"));
        assert!(first.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{first}");
        assert_ne!(first, second, "the salts differ");
        let stored = PasswordHash::new(&first).expect("a PHC text");
        let verify = |text: &[u8]| Argon2::default().verify_password(text, &stored);
        assert!(verify(b"3d72").is_ok() && verify(b"3D72").is_err());
    }
}
