use std::fs;
use std::path::Path;

use tempfile::TempDir;

use crate::error::ComposeError;
use crate::model::{Project, Service};

mod bad;
mod broken;
mod crates;
mod emulator;
mod files;
mod services;
mod whole;

/// Variables of the process that reads a file.
fn process(name: &str) -> Option<String> {
    match name {
        "SET" => Some("value".to_owned()),
        "PORT" => Some("8080".to_owned()),
        "EMPTY" => Some(String::new()),
        _ => None,
    }
}

/// A directory named `shop` with a compose file.
struct Shop {
    dir: TempDir,
}

impl Shop {
    fn new(text: &str) -> Self {
        let shop = Self { dir: TempDir::new().unwrap() };
        fs::create_dir(shop.dir.path().join("Shop_1.x")).unwrap();
        shop.with("compose.yaml", text)
    }

    fn with(self, name: &str, text: &str) -> Self {
        fs::write(self.dir.path().join("Shop_1.x").join(name), text).unwrap();
        self
    }

    fn read_for(&self, profiles: &[&str]) -> Result<Project, ComposeError> {
        let profiles: Vec<_> = profiles.iter().map(|profile| (*profile).to_owned()).collect();
        Project::read(&self.dir.path().join("Shop_1.x/compose.yaml"), process, &profiles)
    }

    fn read(&self) -> Project {
        self.read_for(&[]).unwrap()
    }

    /// The error without the directory.
    fn refused(&self) -> String {
        let error = self.read_for(&[]).unwrap_err().to_string();
        error.replace(&format!("{}/", self.dir.path().join("Shop_1.x").display()), "")
    }
}

/// A file with the volume `data` and the service `web` of the image `a`, which has these lines.
fn with(lines: &str) -> Shop {
    let lines: Vec<_> = lines.lines().collect();
    Shop::new(&format!(
        "services:\n  web:\n    image: a\n    {}\nvolumes: {{data: }}\n",
        lines.join("\n    ")
    ))
}

/// That service.
fn web(lines: &str) -> Service {
    with(lines).read().services.remove(0)
}

/// Why that service is refused.
fn refused(lines: &str) -> String {
    with(lines).refused()
}

fn write_beside(shop: &Shop, name: &str, bytes: &[u8]) {
    let path: &Path = shop.dir.path();
    fs::write(path.join("Shop_1.x").join(name), bytes).unwrap();
}
