//! What is right, to its end: a session, a user, a project or a sign-in to the dashboard ends while others still use it, and then is
//! of no use to anybody.

use rand::RngExt;
use rand::rngs::StdRng;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::shapes::one;
use super::wire::{Answer, Request};
use super::{Stop, Target};
use crate::stack::{
    CURRENT_PROJECT, FILE_PROJECT, KEYS, PASSWORD, PROJECT, REFRESH, SESSION, SIGN_IN, SIGN_UP,
};

/// The password that takes the place of [`PASSWORD`].
const NEW_PASSWORD: &str = "another horse battery";

/// The dashboard's own account, which is public.
const ADMIN: &str = "email=admin%40example.com&password=local-emulator";

/// The ways in which something ends.
const FLOWS: [&str; 7] = [
    "sign-out",
    "password change",
    "deletion of a user",
    "deletion of a project",
    "dashboard",
    "one mailbox",
    "one file",
];

/// Follows one after the other until the time is up.
pub(super) async fn follow(target: &Target, mut rng: StdRng, end: Instant) {
    // Each worker begins elsewhere, so that a short run has them all.
    let mut next = rng.random_range(0..FLOWS.len());
    while target.goes_on(end) {
        follow_one(target, &mut rng, FLOWS[next]).await;
        next = (next + 1) % FLOWS.len();
    }
}

/// Follows each of them once.
pub(super) async fn follow_each(target: &Target, rng: &mut StdRng) {
    for name in FLOWS {
        follow_one(target, rng, name).await;
    }
}

async fn follow_one(target: &Target, rng: &mut StdRng, name: &'static str) {
    let ended = match name {
        "sign-out" => sign_out(target, rng).await,
        "password change" => password_change(target, rng).await,
        "deletion of a user" => deletion_of_a_user(target, rng).await,
        "deletion of a project" => deletion_of_a_project(target, rng).await,
        "dashboard" => dashboard(target).await,
        "one mailbox" => one_mailbox(target, rng).await,
        _ => one_file(target, rng).await,
    };
    if ended.is_ok() {
        *target.outcome().flows.entry(name).or_default() += 1;
    }
}

impl Target {
    /// A request with the client's key of the project `internal`.
    pub(super) fn internal(&self, method: &str, path: &str) -> Request {
        keyed(Request::new(method, path), PROJECT, "client", &self.keys[0])
    }

    /// A cookie of the dashboard's admin.
    pub(super) async fn dashboard_cookie(&self) -> Result<String, Stop> {
        let answer = self.ask(&self.dashboard, &Request::new("POST", "/handler/sign-in").form(ADMIN)).await?;
        let cookie = answer.header("set-cookie").and_then(|cookie| cookie.split(';').next());
        match (answer.status, cookie) {
            (303, Some(cookie)) => Ok(cookie.to_owned()),
            _ => Err(self.found(format!("the admin cannot sign in: {}", answer.shown()))),
        }
    }

    /// The answer to a request of the backend, which has this status.
    async fn expect(&self, status: u16, request: &Request) -> Result<Answer, Stop> {
        let answer = self.ask(&self.backend, request).await?;
        if answer.status == status {
            return Ok(answer);
        }
        Err(self.found(format!("{} instead of {status} to {}", answer.shown(), request.shown())))
    }
}

/// A request with a key of `project`, as the stack gave it.
pub(super) fn of_project(project: &Value, access: &str, method: &str, path: &str) -> Request {
    let (.., field) = KEYS.into_iter().find(|(kind, ..)| *kind == access).expect("a kind of access");
    keyed(Request::new(method, path), &text(project, "project_id"), access, &text(project, field))
}

fn keyed(request: Request, project: &str, access: &str, key: &str) -> Request {
    let (_, header, _) = KEYS.into_iter().find(|(kind, ..)| *kind == access).expect("a kind of access");
    request.header("x-stack-project-id", project).header("x-stack-access-type", access).header(header, key)
}

/// A project of the flow's own, and a user with a session in it.
struct Scene<'a> {
    target: &'a Target,
    project: Value,
    email: String,
    session: Value,
}

impl<'a> Scene<'a> {
    async fn new(target: &'a Target, rng: &mut StdRng) -> Result<Self, Stop> {
        let path =
            json!({ "absolute_file_path": format!("/flow/{:032x}/stack.config.json", rng.random::<u128>()) });
        let project = target.expect(200, &target.internal("POST", FILE_PROJECT).json(&path)).await?.json();
        let email = format!("{:016x}@example.com", rng.random::<u64>());
        let sign_up = of_project(&project, "client", "POST", SIGN_UP);
        let sign_up = sign_up.json(&json!({ "email": email, "password": PASSWORD }));
        let session = target.expect(201, &sign_up).await?.json();
        Ok(Self { target, project, email, session })
    }

    fn client(&self, method: &str, path: &str) -> Request {
        of_project(&self.project, "client", method, path)
    }

    fn sign_in(&self, password: &str) -> Request {
        self.client("POST", SIGN_IN).json(&json!({ "email": self.email, "password": password }))
    }

    fn refresh(&self, session: &Value) -> Request {
        self.client("POST", REFRESH).header("x-stack-refresh-token", text(session, "refresh_token"))
    }

    fn me(&self, session: &Value) -> Request {
        self.client("GET", "/api/v1/users/me").header("x-stack-access-token", text(session, "access_token"))
    }

    /// Does these things at once, and gives what they gave. One that the service has no time for gives nothing.
    async fn at_once(&self, requests: Vec<Request>) -> Vec<Answer> {
        let backend = &self.target.backend;
        let asked = requests.iter().map(|request| self.target.ask(backend, request));
        all(asked).await.into_iter().flatten().collect()
    }

    /// Nothing of these sessions is of use any more.
    async fn assert_over(&self, sessions: &[Value], because: &str) -> Result<(), Stop> {
        for session in sessions {
            let refresh = session["refresh_token"].is_string().then(|| self.refresh(session));
            let me = session["access_token"].is_string().then(|| self.me(session));
            for request in refresh.into_iter().chain(me) {
                let answer = self.target.ask(&self.target.backend, &request).await?;
                if answer.status != 401 {
                    let finding = format!("still {} after {because}: {}", answer.shown(), request.shown());
                    return Err(self.target.found(finding));
                }
            }
        }
        Ok(())
    }

    /// The session's own tokens, and those in `answers`.
    fn sessions(&self, answers: &[Answer]) -> Vec<Value> {
        let opened = answers.iter().filter(|answer| matches!(answer.status, 200 | 201)).map(Answer::json);
        opened.chain([self.session.clone()]).collect()
    }
}

/// Waits for all of them at once.
async fn all<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut waiting: Vec<_> = futures.map(|future| (Box::pin(future), None)).collect();
    std::future::poll_fn(|context| {
        for (future, output) in &mut waiting {
            if output.is_none()
                && let std::task::Poll::Ready(done) = future.as_mut().poll(context)
            {
                *output = Some(done);
            }
        }
        if waiting.iter().all(|(_, output)| output.is_some()) {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    waiting.into_iter().filter_map(|(_, output)| output).collect()
}

fn text(value: &Value, field: &str) -> String {
    value[field].as_str().unwrap_or_default().to_owned()
}

/// The one that ends something, somewhere among the others.
fn among(rng: &mut StdRng, end: Request, others: Vec<Request>) -> Vec<Request> {
    let mut requests = others;
    requests.insert(rng.random_range(0..=requests.len()), end);
    requests
}

/// Whether the one request that was to be answered so was, and by it alone.
fn ended(answers: &[Answer], status: u16) -> Result<(), Stop> {
    // Without it the service had no time, which has been looked at.
    if answers.iter().any(|answer| answer.status == status) { Ok(()) } else { Err(Stop::Busy) }
}

async fn sign_out(target: &Target, rng: &mut StdRng) -> Result<(), Stop> {
    let scene = Scene::new(target, rng).await?;
    let other = target.expect(200, &scene.sign_in(PASSWORD)).await?.json();
    let end = scene
        .client("DELETE", SESSION)
        .header("x-stack-refresh-token", text(&scene.session, "refresh_token"));
    let beside = vec![scene.refresh(&scene.session), scene.me(&scene.session), scene.refresh(&scene.session)];
    let answers = scene.at_once(among(rng, end, beside)).await;
    ended(&answers, 204)?;
    let sessions = scene.sessions(&answers);
    scene.assert_over(&sessions, "signing out").await?;
    target.expect(200, &scene.me(&other)).await?;
    Ok(())
}

async fn password_change(target: &Target, rng: &mut StdRng) -> Result<(), Stop> {
    let scene = Scene::new(target, rng).await?;
    let path = format!("/api/v1/users/{}", text(&scene.session, "user_id"));
    let end = of_project(&scene.project, "server", "PATCH", &path).json(&json!({ "password": NEW_PASSWORD }));
    let beside = vec![scene.sign_in(PASSWORD), scene.refresh(&scene.session), scene.sign_in(PASSWORD)];
    let answers = scene.at_once(among(rng, end, beside)).await;
    let changed =
        answers.iter().any(|answer| answer.status == 200 && answer.json()["primary_email"].is_string());
    if !changed {
        return Err(Stop::Busy);
    }
    scene.assert_over(&scene.sessions(&answers), "a new password").await?;
    target.expect(401, &scene.sign_in(PASSWORD)).await?;
    target.expect(200, &scene.sign_in(NEW_PASSWORD)).await?;
    Ok(())
}

async fn deletion_of_a_user(target: &Target, rng: &mut StdRng) -> Result<(), Stop> {
    let scene = Scene::new(target, rng).await?;
    let path = format!("/api/v1/users/{}", text(&scene.session, "user_id"));
    let server = |method: &str| of_project(&scene.project, "server", method, &path);
    let beside = vec![
        scene.sign_in(PASSWORD),
        scene.refresh(&scene.session),
        server("PATCH").json(&json!({ "display_name": "Gone" })),
        server("GET"),
    ];
    let answers = scene.at_once(among(rng, server("DELETE"), beside)).await;
    ended(&answers, 204)?;
    scene.assert_over(&scene.sessions(&answers), "the user's deletion").await?;
    target.expect(404, &server("GET")).await?;
    target.expect(401, &scene.sign_in(PASSWORD)).await?;
    Ok(())
}

async fn deletion_of_a_project(target: &Target, rng: &mut StdRng) -> Result<(), Stop> {
    let scene = Scene::new(target, rng).await?;
    let sign_up = |name: &str| {
        let body = json!({ "email": format!("{name}.{}", scene.email), "password": PASSWORD });
        scene.client("POST", SIGN_UP).json(&body)
    };
    let end = of_project(&scene.project, "admin", "DELETE", CURRENT_PROJECT);
    let beside = vec![sign_up("a"), scene.refresh(&scene.session), sign_up("b"), scene.me(&scene.session)];
    let answers = scene.at_once(among(rng, end, beside)).await;
    ended(&answers, 204)?;
    scene.assert_over(&scene.sessions(&answers), "the project's deletion").await?;
    for (access, ..) in KEYS {
        target.expect(401, &of_project(&scene.project, access, "GET", CURRENT_PROJECT)).await?;
    }
    Ok(())
}

async fn dashboard(target: &Target) -> Result<(), Stop> {
    let cookie = target.dashboard_cookie().await?;
    let page = |path: &str| Request::new("GET", path).header("cookie", cookie.clone());
    let end = Request::new("POST", "/handler/sign-out").header("cookie", cookie.clone());
    let beside = [page("/projects"), end, page("/projects/internal/users"), page("/status")];
    for answer in all(beside.iter().map(|request| target.ask(&target.dashboard, request))).await {
        answer?;
    }
    let answer = target.ask(&target.dashboard, &page("/projects")).await?;
    match (answer.status, answer.header("location")) {
        (303, Some("/handler/sign-in")) => Ok(()),
        _ => Err(target.found(format!("a cookie outlived its session: {}", answer.shown()))),
    }
}

async fn one_mailbox(target: &Target, rng: &mut StdRng) -> Result<(), Stop> {
    let scene = Scene::new(target, rng).await?;
    let (local, domain) = (format!("ada{:x}", rng.random::<u64>()), "example.com");
    let spelled = [
        format!("{local}@{domain}"),
        format!("{}@{domain}", local.to_uppercase()),
        format!(" {local}@Example.COM\t"),
        format!("Ada <{local}@{domain}>"),
    ];
    let sign_up =
        |email: &String| scene.client("POST", SIGN_UP).json(&json!({ "email": email, "password": PASSWORD }));
    let answers = scene.at_once(spelled.iter().map(sign_up).collect()).await;
    let made = answers.iter().filter(|answer| answer.status == 201).count();
    // One that had no answer, because there was no time for it, may be the one that made the account.
    if made > 1 || made == 0 && answers.len() == spelled.len() {
        let shown: Vec<String> = answers.iter().map(Answer::shown).collect();
        return Err(target.found(format!("{made} accounts of one mailbox, {local}: {shown:?}")));
    }
    Ok(())
}

async fn one_file(target: &Target, rng: &mut StdRng) -> Result<(), Stop> {
    let odd = *one(rng, &["shop", "späti", "a b", "\u{202e}", "\n", "'"]);
    let path =
        json!({ "absolute_file_path": format!("/{odd}/{:032x}/stack.config.json", rng.random::<u128>()) });
    let request = target.internal("POST", FILE_PROJECT).json(&path);
    let asked: Vec<Request> = std::iter::repeat_n(request, 4).collect();
    let mut given = Vec::new();
    for answer in all(asked.iter().map(|request| target.ask(&target.backend, request))).await {
        given.push(answer?.json());
    }
    if given.iter().all(|project| *project == given[0] && project["project_id"].is_string()) {
        return Ok(());
    }
    Err(target.found(format!("one file has several projects: {path}")))
}
