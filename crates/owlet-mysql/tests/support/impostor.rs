//! A server that speaks as much of MySQL 8's protocol as a test needs, for what MariaDB lacks. It records what a client
//! says, so that tests can see what is sent, and whether it is encrypted.
//!
//! Packets as in "Client/Server Protocol" of the MySQL Source Code Documentation.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// The 20 bytes that passwords are mixed with.
pub const NONCE: &[u8; 20] = b"abcdefghijklmnopqrst";

const CAPABILITIES: u32 = 0x0000_0001 // LONG_PASSWORD
    | 0x0000_0004 // LONG_FLAG
    | 0x0000_0008 // CONNECT_WITH_DB
    | 0x0000_0200 // PROTOCOL_41
    | 0x0000_2000 // TRANSACTIONS
    | 0x0000_8000 // SECURE_CONNECTION
    | 0x0008_0000 // PLUGIN_AUTH
    | 0x0010_0000; // CONNECT_ATTRS
const CAPABILITY_SSL: u32 = 0x0000_0800;

/// How the server asks for the password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Login {
    /// `mysql_clear_password`, by an authentication switch, as RDS does for `AWSAuthenticationPlugin`.
    Clear,
    /// `caching_sha2_password`, whose cache knows the account.
    Cached,
    /// `caching_sha2_password`, whose cache does not know the account. The key's PEM text is for connections without
    /// TLS.
    Uncached { public_key: String },
}

/// What a server sends for a column of a prepared statement.
#[derive(Debug, Clone)]
pub struct WireColumn {
    pub name: &'static str,
    pub column_type: u8,
    pub charset: u16,
    pub flags: u16,
}

/// The answer to every prepared statement; values as the binary protocol spells them.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    pub columns: Vec<WireColumn>,
    pub rows: Vec<Vec<Option<Vec<u8>>>>,
}

/// What was heard.
#[derive(Debug, Default)]
pub struct Heard {
    /// Everything before TLS, or all of it without.
    pub plain: Vec<u8>,
    /// Packets after the greeting, decrypted.
    pub packets: Vec<Vec<u8>>,
    pub encrypted: bool,
}

/// A listening server; every connection adds to what was heard.
pub struct Impostor {
    pub port: u16,
    heard: Arc<Mutex<Vec<Heard>>>,
    _thread: JoinHandle<()>,
}

impl Impostor {
    /// With a certificate (`server.crt`, `server.key` in the folder) if there is one to offer TLS with.
    pub fn start(login: Login, certificates: Option<&Path>, answer: Answer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let tls = certificates.map(server_config);
        let shared = Arc::clone(&heard);
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (login, tls, answer) = (login.clone(), tls.clone(), answer.clone());
                let heard = Arc::clone(&shared);
                std::thread::spawn(move || {
                    let mut now = Heard::default();
                    // The client may leave at any time.
                    let _ = converse(stream, &login, tls, &answer, &mut now);
                    heard.lock().expect("lock").push(now);
                });
            }
        });
        Self {
            port,
            heard,
            _thread: thread,
        }
    }

    /// What connections that have ended said, in their order.
    pub fn heard(&self) -> Vec<Heard> {
        std::mem::take(&mut self.heard.lock().expect("lock"))
    }
}

fn server_config(folder: &Path) -> Arc<rustls::ServerConfig> {
    let certificate =
        CertificateDer::from_pem_file(folder.join("server.crt")).expect("certificate");
    let key = PrivateKeyDer::from_pem_file(folder.join("server.key")).expect("key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("a usable certificate");
    Arc::new(config)
}

fn converse(
    mut stream: TcpStream,
    login: &Login,
    tls: Option<Arc<rustls::ServerConfig>>,
    answer: &Answer,
    heard: &mut Heard,
) -> std::io::Result<()> {
    let offers_tls = tls.is_some();
    write_packet(&mut stream, 0, &greeting(offers_tls))?;
    let (sequence, first) = read_packet(&mut stream)?;
    heard.plain.extend(&first);
    // A request for TLS is a login without a user.
    let wants_tls = first.len() == 32;
    match (tls, wants_tls) {
        (Some(config), true) => {
            heard.encrypted = true;
            let connection =
                rustls::ServerConnection::new(config).map_err(std::io::Error::other)?;
            let mut stream = rustls::StreamOwned::new(connection, stream);
            let (sequence, response) = read_packet(&mut stream)?;
            heard.packets.push(response);
            log_in(&mut stream, sequence, login, answer, heard)
        }
        _ => {
            heard.packets.push(first);
            let mut recorded = Recorded {
                stream,
                heard: Vec::new(),
            };
            let result = log_in(&mut recorded, sequence, login, answer, heard);
            heard.plain.extend(recorded.heard);
            result
        }
    }
}

/// A stream that remembers what it has brought.
struct Recorded {
    stream: TcpStream,
    heard: Vec<u8>,
}

impl Read for Recorded {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let length = self.stream.read(buffer)?;
        self.heard.extend(&buffer[..length]);
        Ok(length)
    }
}

impl Write for Recorded {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.stream.flush()
    }
}

fn log_in(
    stream: &mut (impl Read + Write),
    sequence: u8,
    login: &Login,
    answer: &Answer,
    heard: &mut Heard,
) -> std::io::Result<()> {
    let mut sequence = sequence;
    let say = |stream: &mut dyn Write, packet: &[u8], sequence: &mut u8| {
        *sequence = sequence.wrapping_add(1);
        write_packet(stream, *sequence, packet)
    };
    match login {
        Login::Clear => {
            say(stream, b"\xfemysql_clear_password\0", &mut sequence)?;
            let (next, password) = read_packet(stream)?;
            heard.packets.push(password);
            sequence = next;
        }
        Login::Cached => say(stream, b"\x01\x03", &mut sequence)?,
        Login::Uncached { public_key } => {
            say(stream, b"\x01\x04", &mut sequence)?;
            let (next, mut response) = read_packet(stream)?;
            sequence = next;
            if response == [0x02] {
                heard.packets.push(response);
                let key = [b"\x01", public_key.as_bytes()].concat();
                say(stream, &key, &mut sequence)?;
                let (next, encrypted) = read_packet(stream)?;
                sequence = next;
                response = encrypted;
            }
            heard.packets.push(response);
        }
    }
    say(stream, OK, &mut sequence)?;
    serve(stream, answer, heard)
}

const OK: &[u8] = b"\x00\x00\x00\x02\x00\x00\x00";
const EOF: &[u8] = b"\xfe\x00\x00\x02\x00";

/// Answers statements until the client says goodbye.
fn serve(
    stream: &mut (impl Read + Write),
    answer: &Answer,
    heard: &mut Heard,
) -> std::io::Result<()> {
    loop {
        let (_, packet) = read_packet(stream)?;
        let command = packet.first().copied();
        let text = String::from_utf8_lossy(packet.get(1..).unwrap_or_default()).into_owned();
        heard.packets.push(packet);
        let packets: Vec<Vec<u8>> = match command {
            // COM_QUERY.
            Some(0x03) if text.starts_with("SELECT VERSION()") => {
                let text_column = |name| WireColumn {
                    name,
                    column_type: 0xfd,
                    charset: 45,
                    flags: 0,
                };
                vec![
                    vec![2],
                    definition(&text_column("version")),
                    definition(&text_column("identity")),
                    EOF.to_vec(),
                    [counted(b"8.0.36"), counted(b"impostor 3306 1")].concat(),
                    EOF.to_vec(),
                ]
            }
            // COM_STMT_PREPARE.
            Some(0x16) => {
                let columns = u16::try_from(answer.columns.len()).expect("few columns");
                let mut head = vec![0, 1, 0, 0, 0];
                head.extend(columns.to_le_bytes());
                head.extend([0, 0, 0, 0, 0]);
                let mut packets = vec![head];
                packets.extend(answer.columns.iter().map(definition));
                packets.push(EOF.to_vec());
                packets
            }
            // COM_STMT_EXECUTE.
            Some(0x17) => {
                let mut packets = vec![vec![u8::try_from(answer.columns.len()).expect("few")]];
                packets.extend(answer.columns.iter().map(definition));
                packets.push(EOF.to_vec());
                packets.extend(answer.rows.iter().map(|row| binary_row(row)));
                packets.push(EOF.to_vec());
                packets
            }
            // COM_STMT_CLOSE has no answer.
            Some(0x19) => Vec::new(),
            Some(0x01) | None => return Ok(()),
            _ => vec![OK.to_vec()],
        };
        for (sequence, packet) in (1..).zip(packets) {
            write_packet(stream, sequence, &packet)?;
        }
    }
}

fn greeting(offers_tls: bool) -> Vec<u8> {
    let capabilities = if offers_tls {
        CAPABILITIES | CAPABILITY_SSL
    } else {
        CAPABILITIES
    };
    let bits = capabilities.to_le_bytes();
    let mut packet = vec![10];
    packet.extend(b"8.0.36\0");
    packet.extend(7_u32.to_le_bytes());
    packet.extend(&NONCE[..8]);
    packet.push(0);
    packet.extend(&bits[..2]);
    packet.push(45);
    packet.extend(2_u16.to_le_bytes());
    packet.extend(&bits[2..]);
    packet.push(21);
    packet.extend([0; 10]);
    packet.extend(&NONCE[8..]);
    packet.push(0);
    packet.extend(b"caching_sha2_password\0");
    packet
}

fn definition(column: &WireColumn) -> Vec<u8> {
    let mut packet = Vec::new();
    for text in ["def", "shop", "t", "t", column.name, column.name] {
        packet.extend(counted(text.as_bytes()));
    }
    packet.push(12);
    packet.extend(column.charset.to_le_bytes());
    packet.extend(u32::MAX.to_le_bytes());
    packet.push(column.column_type);
    packet.extend(column.flags.to_le_bytes());
    packet.extend([0, 0, 0]);
    packet
}

fn binary_row(values: &[Option<Vec<u8>>]) -> Vec<u8> {
    let mut nulls = vec![0_u8; (values.len() + 9) / 8];
    let mut bytes = Vec::new();
    for (position, value) in values.iter().enumerate() {
        match value {
            Some(value) => bytes.extend(value),
            None => nulls[(position + 2) / 8] |= 1 << ((position + 2) % 8),
        }
    }
    [vec![0], nulls, bytes].concat()
}

/// A text of less than 251 bytes behind its length.
pub fn counted(text: &[u8]) -> Vec<u8> {
    let length = u8::try_from(text.len()).expect("short");
    assert!(length < 251);
    [&[length], text].concat()
}

fn read_packet(stream: &mut impl Read) -> std::io::Result<(u8, Vec<u8>)> {
    let mut head = [0; 4];
    stream.read_exact(&mut head)?;
    let length = u32::from_le_bytes([head[0], head[1], head[2], 0]);
    let mut packet = vec![0; length as usize];
    stream.read_exact(&mut packet)?;
    Ok((head[3], packet))
}

fn write_packet(
    stream: &mut (impl Write + ?Sized),
    sequence: u8,
    packet: &[u8],
) -> std::io::Result<()> {
    let length = u32::try_from(packet.len()).expect("short").to_le_bytes();
    let head = [length[0], length[1], length[2], sequence];
    stream.write_all(&[&head, packet].concat())?;
    stream.flush()
}
