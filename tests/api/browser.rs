//! The dashboard in Chromium: as people see it, by mouse and by keyboard, in both themes and on a phone.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use fantoccini::actions::{InputSource, KeyAction, KeyActions};
use fantoccini::key::Key;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};

use crate::support::{System, until};

/// What the guidelines for accessibility ask of text (WCAG 2.2, AA).
const LEAST_CONTRAST: f64 = 4.5;

/// How the user likes pages, as Chromium numbers it.
#[derive(Clone, Copy, Debug)]
enum Theme {
    Dark = 0,
    Light = 1,
}

/// What a page is shown on.
#[derive(Clone, Copy, Debug)]
enum Screen {
    Desk,
    Phone,
}

/// A browser on a system's dashboard.
struct Browser {
    page: Client,
    driver: Child,
}

impl Browser {
    async fn open(system: &System, theme: Theme, screen: Screen) -> Self {
        let (driver, port) = start_driver();
        let scheme = format!("--blink-settings=preferredColorScheme={}", theme as u8);
        let mut options = json!({ "args": [
            "--headless=new",
            "--window-size=1280,1024",
            // Tests run as root, and in containers with little shared memory.
            "--no-sandbox",
            "--disable-dev-shm-usage",
            "--disable-gpu",
            "--no-proxy-server",
            scheme,
        ] });
        if matches!(screen, Screen::Phone) {
            let metrics = json!({ "width": 360, "height": 740, "pixelRatio": 2.0, "mobile": true });
            options["mobileEmulation"] = json!({ "deviceMetrics": metrics });
        }
        let capabilities = json!({ "goog:chromeOptions": options });
        let page = ClientBuilder::new(HttpConnector::new())
            .capabilities(capabilities.as_object().unwrap().clone())
            .connect(&format!("http://127.0.0.1:{port}"))
            .await
            .unwrap();
        page.goto(&system.url).await.unwrap();
        Self { page, driver }
    }

    async fn ask(&self, expression: &str) -> Value {
        self.page.execute(&format!("return {expression}"), Vec::new()).await.unwrap()
    }

    async fn text(&self) -> String {
        self.ask("document.body.innerText").await.as_str().unwrap().to_owned()
    }

    async fn click(&self, button: &str) {
        let path = format!("//button[normalize-space()='{button}']");
        self.page.find(Locator::XPath(&path)).await.unwrap().click().await.unwrap();
    }

    /// Presses a key, wherever the focus is.
    async fn press(&self, key: Key) {
        let value = char::from(key);
        let keys = KeyActions::new("keyboard".to_owned())
            .then(KeyAction::Down { value })
            .then(KeyAction::Up { value });
        self.page.perform_actions(keys).await.unwrap();
    }

    async fn close(mut self) {
        self.page.clone().close().await.unwrap();
        self.driver.kill().unwrap();
        self.driver.wait().unwrap();
    }
}

impl Drop for Browser {
    /// A test that failed leaves no browser: the driver ends it when it is asked to go.
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-TERM", &self.driver.id().to_string()]).status();
        let _ = self.driver.wait();
    }
}

fn start_driver() -> (Child, u16) {
    let program = std::env::var("RIDESHARE_TEST_CHROMEDRIVER")
        .expect("RIDESHARE_TEST_CHROMEDRIVER is the path of chromedriver");
    let mut driver = Command::new(program)
        .arg("--port=0")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let said = BufReader::new(driver.stdout.take().unwrap());
    let port = said.lines().map_while(Result::ok).find_map(|line| {
        let (_, port) = line.split_once("started successfully on port ")?;
        port.trim_end_matches('.').parse().ok()
    });
    (driver, port.expect("chromedriver says where it listens"))
}

/// The workers that the page calls master.
const MASTERS: &str = "[...document.querySelectorAll('section[aria-labelledby=workers] tr')] \
    .filter((row) => row.querySelector('td.master')).map((row) => row.cells[0].innerText)";

fn nodes(workers: &[Value]) -> Vec<String> {
    workers.iter().map(|worker| worker["node"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn picture_in_the_browser_follows_the_system_by_itself() {
    let system = System::start(1).await;
    system.settle(1).await;
    let browser = Browser::open(&system, Theme::Light, Screen::Desk).await;
    let shown = browser.text().await;
    for node in nodes(&system.workers().await) {
        assert!(shown.contains(&node), "{node} is missing:\n{shown}");
    }
    // A page that was loaded anew would not have it.
    browser.page.execute("window.sameAsBefore = true", Vec::new()).await.unwrap();
    let master = system.workers().await.into_iter().find(|it| it["role"] == "master").unwrap();
    assert_eq!(system.post("/api/v1/crash/master", &Value::Null).await.status, 200);
    let dead = master["node"].as_str().unwrap().to_owned();
    until("the new picture", async || {
        let masters = browser.ask(MASTERS).await;
        masters.as_array().unwrap().iter().any(|node| *node != dead.as_str())
            && browser.text().await.contains("elected")
    })
    .await;
    assert_eq!(browser.ask("window.sameAsBefore === true").await, json!(true));
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_killed_before_the_question_is_answered() {
    let system = System::start(1).await;
    system.settle(1).await;
    let browser = Browser::open(&system, Theme::Light, Screen::Desk).await;
    let before = nodes(&system.workers().await);
    browser.click("Crash the master").await;
    let question = browser.page.get_alert_text().await.unwrap();
    assert_eq!(question, "Kill the master and its database?");
    browser.page.dismiss_alert().await.unwrap();
    assert!(!browser.text().await.contains("Killed"));
    assert_eq!(nodes(&system.workers().await), before);

    browser.click("Crash the master").await;
    browser.page.accept_alert().await.unwrap();
    until("the answer", async || browser.text().await.contains("Killed ")).await;
    system.settle(1).await;
    assert_ne!(nodes(&system.workers().await), before);
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dashboard_is_steered_by_keyboard() {
    let system = System::start(1).await;
    let browser = Browser::open(&system, Theme::Dark, Screen::Desk).await;
    browser.press(Key::Tab).await;
    let first = browser.ask("document.activeElement.className").await;
    assert_eq!(first, "skip", "what comes first leads past the head");
    assert_eq!(
        browser.ask("getComputedStyle(document.activeElement).outlineStyle !== 'none'").await,
        json!(true),
        "it shows where one is"
    );
    let mut reached = Vec::new();
    for _ in 0..12 {
        browser.press(Key::Tab).await;
        let text = browser.ask("document.activeElement.innerText || ''").await;
        reached.push(text.as_str().unwrap().to_owned());
    }
    assert!(reached.iter().any(|text| text == "Pause"), "{reached:?}");
    until("pause has the focus", async || {
        let at = browser.ask("document.activeElement.innerText || ''").await;
        if at != "Pause" {
            browser.press(Key::Tab).await;
        }
        at == "Pause"
    })
    .await;
    browser.press(Key::Enter).await;
    until("the answer", async || browser.text().await.contains("Paused.")).await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn page_fits_a_phone_and_is_legible_in_both_themes() {
    let system = System::start(1).await;
    system.settle(1).await;
    let mut backgrounds = Vec::new();
    for (theme, screen) in [
        (Theme::Light, Screen::Desk),
        (Theme::Dark, Screen::Desk),
        (Theme::Light, Screen::Phone),
        (Theme::Dark, Screen::Phone),
    ] {
        let browser = Browser::open(&system, theme, screen).await;
        let wide = browser.ask("document.documentElement.scrollWidth > window.innerWidth").await;
        assert_eq!(wide, json!(false), "{theme:?}, {screen:?}: the page is wider than the screen");
        let pale = browser.page.execute(CONTRASTS, vec![json!(LEAST_CONTRAST)]).await.unwrap();
        assert_eq!(pale, json!([]), "{theme:?}, {screen:?}: text without contrast");
        backgrounds.push(browser.ask("getComputedStyle(document.body).backgroundColor").await);
        browser.close().await;
    }
    assert_ne!(backgrounds[0], backgrounds[1], "there are two themes");
    assert_eq!(backgrounds[..2], backgrounds[2..]);
}

/// The texts of a page whose contrast with what is behind them is less than was asked for.
const CONTRASTS: &str = r"
const least = arguments[0];
const parse = (color) => (color.match(/[\d.]+/g) || []).map(Number);
const luminance = ([r, g, b]) => {
  const part = (value) => {
    const share = value / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  };
  return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
};
const behind = (element) => {
  for (let at = element; at; at = at.parentElement) {
    const color = parse(getComputedStyle(at).backgroundColor);
    if (color.length === 3 || color[3] === 1) return color;
  }
  return [255, 255, 255];
};
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
const pale = [];
for (let node = walker.nextNode(); node; node = walker.nextNode()) {
  const element = node.parentElement;
  if (!node.data.trim() || !element.checkVisibility() || element.closest('svg')) continue;
  const lights = [parse(getComputedStyle(element).color), behind(element)].map(luminance);
  const ratio = (Math.max(...lights) + 0.05) / (Math.min(...lights) + 0.05);
  if (ratio < least) pale.push([node.data.trim(), ratio]);
}
return pale;
";
