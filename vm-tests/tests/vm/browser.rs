//! A person's way through the dashboard, in a headless Chromium.

use std::time::Duration;

use base::process::Cmd;
use base::wait;
use fantoccini::{Client, ClientBuilder, Locator};
use serde_json::json;
use vm_tests::emulator::Emulator;
use vm_tests::guest::Guest;
use vm_tests::stack::{backend, keys};

/// Longest wait for the driver, and for a page under software emulation.
const LIMIT: Duration = Duration::from_mins(1);

/// Directory that screenshots are kept in, when someone wants to look at them.
const SCREENSHOTS_VARIABLE: &str = "VM_TESTS_SCREENSHOTS";

#[tokio::test]
async fn a_person_signs_in_and_sees_projects_keys_and_states() {
    let emulator = Emulator::for_amd64();
    let started = emulator.start(&[]).await;
    let project = json!({ "absolute_file_path": "/home/ada/shop/stack.config.json" });
    let client = backend(&started, "client");
    assert_eq!(client.post("/api/v1/internal/local-emulator/project", &project).await.status, 200);
    let keys = keys(&started);

    let port = free_port();
    let profile = emulator.home().scratch("chromium");
    let driver = Cmd::new("chromedriver").arg(format!("--port={port}"));
    let walk = async {
        let browser = browser(port, &profile).await;
        walk(&browser, &started.url("dashboard"), &emulator.guest(), &keys).await;
        browser.close().await.unwrap();
    };
    tokio::select! {
        ended = driver.output() => panic!("chromedriver ended: {ended:?}"),
        () = walk => {}
    }
    emulator.finish().await;
}

async fn walk(browser: &Client, dashboard: &str, guest: &Guest, keys: &[String]) {
    browser.goto(&format!("{dashboard}/handler/sign-in")).await.unwrap();
    screenshot(browser, "sign-in").await;
    sign_in(browser, "not the password").await;
    let refusal = text(browser, "#refusal").await;
    assert!(refusal.to_lowercase().contains("password"), "{refusal}");
    screenshot(browser, "refusal").await;

    sign_in(browser, "local-emulator").await;
    let projects = text(browser, "main").await;
    assert!(projects.contains("shop") && projects.contains("internal"), "{projects}");
    screenshot(browser, "projects").await;

    browser.goto(&format!("{dashboard}/projects/internal/keys")).await.unwrap();
    let source = browser.source().await.unwrap();
    assert!(source.contains('…') || source.contains('•'), "no masked key: {source}");
    for key in keys {
        assert!(!source.contains(key), "a key is shown whole");
        assert!(
            source.contains(&key[..4]) && source.contains(&key[60..]),
            "a key of another session is shown"
        );
    }
    screenshot(browser, "keys").await;

    browser.goto(&format!("{dashboard}/status")).await.unwrap();
    wait_for(browser, "[data-verdict=healthy]").await;
    let services = browser.find_all(Locator::Css("[data-service][data-state=healthy]")).await.unwrap();
    assert!(services.len() >= 4, "{} services are green", services.len());
    screenshot(browser, "healthy").await;

    guest.sh("systemctl stop stack-redis").await;
    browser.refresh().await.unwrap();
    wait_for(browser, "[data-service=redis][data-state=failing]").await;
    screenshot(browser, "redis-stopped").await;
    guest.sh("systemctl start stack-redis").await;
}

async fn sign_in(browser: &Client, password: &str) {
    for (field, value) in [("email", "admin@example.com"), ("password", password)] {
        let input = browser.find(Locator::Css(&format!("input[name={field}]"))).await.unwrap();
        input.clear().await.unwrap();
        input.send_keys(value).await.unwrap();
    }
    let button = browser.find(Locator::Css("button")).await.unwrap();
    button.clone().click().await.unwrap();
    // The click is answered before the next page is there, and an element of this one would be stale as soon as it is.
    wait::until(LIMIT, async || button.tag_name().await.err()).await.expect("the form leads to another page");
}

async fn text(browser: &Client, selector: &str) -> String {
    wait_for(browser, selector).await;
    browser.find(Locator::Css(selector)).await.unwrap().text().await.unwrap()
}

async fn wait_for(browser: &Client, selector: &str) {
    let found = browser.wait().at_most(LIMIT).for_element(Locator::Css(selector)).await;
    if let Err(error) = found {
        panic!("no `{selector}`: {error}\n{}", browser.source().await.unwrap_or_default());
    }
}

async fn browser(port: u16, profile: &std::path::Path) -> Client {
    let arguments = [
        "--headless=new",
        // Chromium refuses its sandbox to root, as whom containers and CI run.
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--window-size=1200,900",
        &format!("--user-data-dir={}", profile.display()),
    ];
    let capabilities = json!({ "goog:chromeOptions": { "args": arguments } });
    let serde_json::Value::Object(capabilities) = capabilities else { unreachable!("an object literal") };
    let connect = async || {
        let mut builder = ClientBuilder::rustls().expect("the platform has a trust store");
        builder.capabilities(capabilities.clone());
        builder.connect(&format!("http://127.0.0.1:{port}")).await.ok()
    };
    wait::until(LIMIT, connect).await.expect("chromedriver opens a browser")
}

async fn screenshot(browser: &Client, name: &str) {
    let Some(dir) = base::variables::path(SCREENSHOTS_VARIABLE) else { return };
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(dir.join(format!("{name}.png")), browser.screenshot().await.unwrap()).unwrap();
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
