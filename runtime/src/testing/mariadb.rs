//! A private MariaDB server.

use super::{Process, free_port};
use std::{
    fs,
    io::Read,
    net::{Ipv4Addr, TcpStream},
    os::unix::fs::MetadataExt,
    path::Path,
    process::Command,
    time::Duration,
};
use tempfile::TempDir;

const START: Duration = Duration::from_secs(60);
const STOP: Duration = Duration::from_secs(20);

/// Makes the account and the database when the server starts; one statement per line.
const ACCOUNT: &str = "\
CREATE DATABASE IF NOT EXISTS frontdesk CHARACTER SET latin1;
CREATE USER IF NOT EXISTS frontdesk@127.0.0.1 IDENTIFIED BY 'secret';
GRANT ALL ON `frontdesk%`.* TO frontdesk@127.0.0.1;
";

/// A MariaDB of its own with an empty database. That has another character set than Frontdesk needs, as old ones do.
pub struct MariaDb {
    /// Dropped before its directory.
    server: Option<Process>,
    port: u16,
    home: TempDir,
}

impl MariaDb {
    /// Starts a server.
    ///
    /// # Panics
    /// When it is not installed or does not start.
    pub fn start() -> Self {
        let home = TempDir::new().unwrap_or_else(|error| panic!("no temporary directory: {error}"));
        let installer = Path::new("/usr/bin/mariadb-install-db");
        assert!(
            installer.exists(),
            "MariaDB is not installed: apt-get install -y --no-install-recommends mariadb-server"
        );
        let mut command = Command::new(installer);
        command.args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"]);
        command.args(as_root());
        command.arg(format!("--datadir={}", home.path().join("data").display())).arg("--innodb-log-file-size=8M");
        let made = command.output().unwrap_or_else(|error| panic!("{}: {error}", installer.display()));
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let mut mariadb = Self { server: None, port: free_port(), home };
        mariadb.start_again();
        mariadb
    }

    /// `mysql://…`, of the empty database.
    pub fn url(&self) -> String {
        format!("mysql://frontdesk:secret@127.0.0.1:{}/frontdesk", self.port)
    }

    /// Stops the server in good order.
    pub fn stop(&mut self) {
        if let Some(mut server) = self.server.take() {
            server.stop(STOP);
        }
    }

    /// Ends the server at once, as a crash would.
    pub fn kill(&mut self) {
        self.server = None;
    }

    /// Starts a stopped or killed server on the same port with the same data.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start_again(&mut self) {
        self.server = None;
        let home = self.home.path();
        let account = home.join("account.sql");
        fs::write(&account, ACCOUNT).unwrap_or_else(|error| panic!("{}: {error}", account.display()));
        let mut command = Command::new("/usr/sbin/mariadbd");
        command.args(["--no-defaults", "--bind-address=127.0.0.1", "--skip-name-resolve"]).args(as_root());
        command.args(["--innodb-buffer-pool-size=64M", "--innodb-log-file-size=8M"]);
        command.arg(format!("--port={}", self.port)).arg(format!("--init-file={}", account.display()));
        command.arg(format!("--datadir={}", home.join("data").display()));
        command.arg(format!("--socket={}", home.join("socket").display()));
        command.arg(format!("--pid-file={}", home.join("pid").display()));
        let mut server = Process::start("mariadbd", &mut command, &home.join("mariadb.log"));
        let port = self.port;
        server.wait_until("greets its clients", START, || greets(port));
        self.server = Some(server);
    }
}

/// Root must say that it means to run the server; others cannot.
fn as_root() -> Option<&'static str> {
    let owner = fs::metadata("/proc/self").map(|process| process.uid());
    owner.is_ok_and(|owner| owner == 0).then_some("--user=root")
}

/// Whether a server speaks MySQL's protocol, version 10, on `port`: it speaks first, after it has read its account file.
fn greets(port: u16) -> bool {
    let mut greeting = [0; 5];
    let mut read = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.read_exact(&mut greeting)?;
        Ok(greeting[4] == 10)
    };
    read().unwrap_or(false)
}
