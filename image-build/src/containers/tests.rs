use std::fs;

use serde_json::json;
use tempfile::TempDir;
use test_images::{Image as Made, Layer};

use super::*;

mod images;
mod native;
mod refused;
mod stack;

/// A stack of two services and a job, with secrets in every place.
const SHOP: &str = include_str!("tests/shop.yaml");

/// A directory `shop` with a compose file and archives of images.
struct Shop {
    dir: TempDir,
    images: Vec<ImageFile>,
}

impl Shop {
    /// One whose compose file has this text.
    fn new(text: &str) -> Self {
        let shop = Self { dir: TempDir::new().unwrap(), images: Vec::new() };
        fs::create_dir(shop.path("shop")).unwrap();
        fs::write(shop.path("shop/compose.yaml"), text).unwrap();
        shop
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Adds an archive, and names it for `name`.
    fn image(mut self, name: Option<&str>, image: &Made) -> Self {
        let path = self.path(&format!("image-{}.tar", self.images.len()));
        image.write_docker(&path).unwrap();
        self.images.push(ImageFile { name: name.map(str::to_owned), place: ImagePlace::File(path) });
        self
    }

    fn file(&self) -> ComposeFile {
        let path = self.path("shop/compose.yaml");
        ComposeFile { path, profiles: Vec::new(), images: self.images.clone() }
    }

    async fn composed(&self) -> Result<Composed, ContainersError> {
        let file = self.file();
        let project = file.read(|_| None)?;
        let natives = natives(&file, &project);
        file.compose(&project, &natives, &Found::default())?;
        let found = file.find(&project, Arch::Amd64, self.dir.path()).await?;
        file.compose(&project, &natives, &found)
    }

    /// The error without the directory.
    async fn refused(&self) -> String {
        let error = self.composed().await.unwrap_err();
        let causes = std::iter::successors(Some(&error as &dyn std::error::Error), |error| error.source());
        let text = causes.map(ToString::to_string).collect::<Vec<_>>().join(": ");
        text.replace(&format!("{}/", self.dir.path().display()), "")
    }
}

/// The native services of this repository.
fn natives(file: &ComposeFile, project: &Project) -> Natives {
    file.natives(project, &Path::new(env!("CARGO_MANIFEST_DIR")).join("../cloud-init")).unwrap()
}

/// An image with a program.
fn made(name: &str) -> Made {
    let layer = Layer::new().directory("./").file("program", name.as_bytes());
    Made::new(name, "amd64").layer(&layer).config(json!({"Cmd": ["/program"]}))
}

/// The shop with its images.
fn shop() -> Shop {
    let web = made("shop/web:1").config(json!({
        "Entrypoint": ["/entry"],
        "Cmd": ["serve"],
        "Env": ["PATH=/bin", "DEBUG=1", "LEVEL=info"],
        "User": "node",
        "WorkingDir": "/app",
        "Volumes": {"/uploads": {}, "/data": {}},
        "StopSignal": "SIGQUIT",
    }));
    let db = made("postgres:17").config(json!({
        "Cmd": ["postgres"],
        "Healthcheck": {"Test": ["CMD-SHELL", "pg_isready"], "Interval": 5_000_000_000_u64},
    }));
    let shop = Shop::new(SHOP);
    fs::write(shop.path("shop/api_key"), "for docker compose").unwrap();
    shop.image(Some("web"), &web).image(None, &db).image(Some("migrate"), &made("shop/migrate:1"))
}
