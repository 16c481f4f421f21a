//! Which image belongs to which service, and the layers of it.

use ::base::events::Silent;

use super::*;

const TWO: &str =
    "services: {web: {image: 'team/web:1', ports: [80], x-emulator: {health: /}}, db: {image: postgres}}\n";

#[tokio::test]
async fn images_are_found_by_service_by_reference_and_in_any_archive() {
    for (web, db) in [(Some("web"), Some("db")), (Some("team/web:1"), Some("postgres")), (None, None)] {
        let shop = Shop::new(TWO).image(web, &made("team/web:1")).image(db, &made("postgres:latest"));
        let composed = shop.composed().await.unwrap();
        let reference = |name: &str| composed.images[name].reference.clone().unwrap();
        assert_eq!((reference("web").as_str(), reference("db").as_str()), ("team/web:1", "postgres:latest"));
    }
    // The name of an archive's only image does not count where the archive is named for a service.
    let shop = Shop::new(TWO).image(Some("web"), &made("x:2")).image(Some("db"), &made("y:2"));
    assert_eq!(shop.composed().await.unwrap().images["web"].reference.as_deref(), Some("x:2"));
}

#[tokio::test]
async fn of_two_archives_the_one_for_the_architecture_is_taken() {
    let arm =
        Made::new("team/web:1", "arm64").layer(&Layer::new().file("arm", b"")).config(json!({"Cmd": ["/x"]}));
    let shop = Shop::new(TWO).image(Some("web"), &arm).image(None, &made("postgres:latest"));
    let error = shop.composed().await.unwrap_err();
    assert!(error.to_string().ends_with("is for linux/arm64, not for linux/amd64"), "{error}");
    assert!(error.hint().unwrap().contains("docker build --platform linux/amd64"));
    let shop = shop.image(Some("web"), &made("team/web:1"));
    assert_eq!(shop.composed().await.unwrap().images["web"].architecture, "amd64");
}

#[tokio::test]
async fn what_is_missing_is_listed_with_the_commands_that_help() {
    // A registry that answers nothing, for hosts with `skopeo`.
    let text = TWO.replace("team/web:1", "localhost:1/web:1").replace("postgres", "'localhost:1/db'");
    let error = Shop::new(&text).composed().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "there is no image `localhost:1/web:1` for the service `web`\n\
         there is no image `localhost:1/db` for the service `db`"
    );
    let hint = error.hint().unwrap();
    for command in [
        "docker build",
        "-t localhost:1/web:1 .",
        "docker save -o web.tar localhost:1/web:1",
        "docker pull localhost:1/db`",
        "--image db=db.tar",
    ] {
        assert!(hint.contains(command), "{hint}");
    }
    assert_eq!(hint.lines().count(), 2, "{hint}");
    let shop = Shop::new(TWO).image(Some("wob"), &made("team/web:1"));
    assert_eq!(
        shop.refused().await,
        "`--image wob=image-0.tar`: no service and no image of `shop/compose.yaml` is called `wob`"
    );
}

#[tokio::test]
async fn layers_are_written_once_and_again_if_they_are_damaged() {
    let cache = TempDir::new().unwrap();
    let shop = Shop::new(TWO).image(None, &made("team/web:1")).image(None, &made("postgres:latest"));
    let images = shop.composed().await.unwrap().images;
    let files =
        async || prepare(&images, cache.path(), "builder", &Silent).await.unwrap().files["web"].clone();
    let first = files().await;
    let [file] = first.as_slice() else { panic!("one layer: {first:?}") };
    let content = fs::read(file).unwrap();
    let time = fs::metadata(file).unwrap().modified().unwrap();
    assert_eq!(files().await, first);
    assert_eq!(fs::metadata(file).unwrap().modified().unwrap(), time, "it was there");
    fs::write(file, "damaged").unwrap();
    assert_eq!(files().await, first);
    assert_eq!(fs::read(file).unwrap(), content);
}

#[tokio::test]
async fn two_tasks_with_the_same_images_never_wait_for_each_other() {
    let cache = TempDir::new().unwrap();
    let shop = Shop::new(TWO).image(None, &made("team/web:1")).image(None, &made("postgres:latest"));
    let images = shop.composed().await.unwrap().images;
    let [web, db] = ["web", "db"].map(|name| images[name].clone());
    let first = BTreeMap::from([("a".to_owned(), web.clone()), ("b".to_owned(), db.clone())]);
    let second = BTreeMap::from([("a".to_owned(), db), ("b".to_owned(), web)]);
    let prepared = async |images| prepare(images, cache.path(), "builder", &Silent).await.map(drop);
    let (first, second) = tokio::join!(prepared(&first), prepared(&second));
    first.and(second).unwrap();
}

#[test]
fn an_archive_is_named_with_or_without_what_it_is_for() {
    let parsed = |text: &str| text.parse::<ImageFile>().map(|file| (file.name, file.place));
    let file = |path: &str| ImagePlace::File(PathBuf::from(path));
    assert_eq!(parsed("web=/a.tar").unwrap(), (Some("web".to_owned()), file("/a.tar")));
    assert_eq!(parsed("team/web:1=/a=b.tar").unwrap(), (Some("team/web:1".to_owned()), file("/a=b.tar")));
    assert_eq!(parsed("/a.tar").unwrap(), (None, file("/a.tar")));
    for (text, name) in
        [("web=dir:/a", "web"), ("docker-daemon:a/web:1", "a/web:1"), ("docker://h/web", "h/web")]
    {
        let place = text.trim_start_matches("web=").to_owned();
        assert_eq!(parsed(text).unwrap(), (Some(name.to_owned()), ImagePlace::Skopeo(place)), "{text}");
    }
    for text in ["", "web=", "=/a.tar", "dir:/a"] {
        assert!(parsed(text).is_err(), "{text}");
    }
}
