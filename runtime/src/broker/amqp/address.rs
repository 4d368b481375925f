//! Where the broker is and how a connection to it is opened.

use super::{error, topology};
use crate::BrokerError;
use lapin::{Connection, ConnectionProperties, uri::AMQPUri};
use std::{fmt, time::Duration};
use tokio::time::timeout;

/// A broken connection is noticed within about twice this time, unless the URL says `?heartbeat=`.
const HEARTBEAT_SECONDS: u16 = 10;
const CONNECT_MILLISECONDS: u64 = 10_000;
/// For the handshake and the topology. Long, because lapin's thread of an abandoned handshake lives on as long as the
/// other side keeps the connection.
const HANDSHAKE: Duration = Duration::from_secs(60);

/// A broker's address; shown without its password.
pub(super) struct Address(AMQPUri);

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.0.authority.host, self.0.authority.port)
    }
}

impl Address {
    pub fn parse(url: &str) -> Result<Self, BrokerError> {
        let malformed = || {
            let expected = "expected amqp://user:password@host:port/vhost (\"/\" is written %2f)";
            BrokerError::Misconfigured(format!("the broker's URL is malformed: {expected}"))
        };
        let mut uri: AMQPUri = url.parse().map_err(|_| malformed())?;
        uri.query.heartbeat.get_or_insert(HEARTBEAT_SECONDS);
        uri.query.connection_timeout.get_or_insert(CONNECT_MILLISECONDS);
        Ok(Self(uri))
    }

    /// Opens a connection on which the whole topology is declared.
    pub async fn open(&self) -> Result<Connection, BrokerError> {
        let properties = ConnectionProperties::default().with_connection_name("frontdesk".into());
        let opening = async {
            let connection = Connection::connect_uri(self.0.clone(), properties).await;
            let connection = connection.map_err(|error| self.explain(&error))?;
            topology::declare_all(&connection).await?;
            Ok(connection)
        };
        let silent = || BrokerError::Unavailable(format!("{self} does not answer"));
        timeout(HANDSHAKE, opening).await.map_err(|_| silent())?
    }

    fn explain(&self, error: &lapin::Error) -> BrokerError {
        let user = &self.0.authority.userinfo.username;
        match error::code(error) {
            Some(error::ACCESS_REFUSED) => {
                BrokerError::Misconfigured(format!("{self} refuses user {user:?}: check the URL's user and password"))
            }
            Some(error::NOT_ALLOWED) => BrokerError::Misconfigured(format!(
                "{self} has no vhost {:?} for user {user:?}: check the URL's path (\"/\" is written %2f)",
                self.0.vhost
            )),
            _ => BrokerError::Unavailable(format!("{self}: {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_never_shows_its_password() {
        let address = Address::parse("amqp://me:s3cret@broker.internal:5673/%2f").unwrap();
        assert_eq!(address.to_string(), "broker.internal:5673");
        let error = Address::parse("amqp:me:s3cret@").err().unwrap().to_string();
        assert!(!error.contains("s3cret"), "{error}");
    }
}
