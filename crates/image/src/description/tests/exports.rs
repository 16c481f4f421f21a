//! What a stack may give to programs of developers.

use super::built_in;
use crate::stack::Stack;
use crate::stack::exports::{Export, ProjectRequest};

fn stack() -> Stack {
    built_in().stack
}

fn refused(change: impl FnOnce(&mut Stack)) -> String {
    let mut stack = stack();
    change(&mut stack);
    stack.check().unwrap_err().to_string()
}

fn export(name: &str, value: &str) -> Export {
    Export { name: name.into(), value: value.parse().unwrap(), public: Vec::new(), project: None }
}

#[test]
fn the_built_in_stack_exports_what_clients_need() {
    let stack = stack();
    let shown = |secret: bool| {
        let exports = stack.exports.iter().filter(|export| export.is_secret(&stack.secrets) == secret);
        exports.flat_map(Export::names).collect::<Vec<_>>()
    };
    let public =
        |name: &str| ["", "NEXT_PUBLIC_", "VITE_", "EXPO_PUBLIC_"].map(|prefix| format!("{prefix}{name}"));
    let open = ["STACK_PUBLISHABLE_CLIENT_KEY", "STACK_API_URL", "STACK_PROJECT_ID", "STACK_DASHBOARD_URL"];
    assert_eq!(shown(false), open.map(public).concat());
    assert_eq!(shown(true), ["STACK_SECRET_SERVER_KEY", "STACK_SUPER_SECRET_ADMIN_KEY"]);
    let answered: Vec<_> = stack.exports.iter().filter_map(|export| export.project.as_deref()).collect();
    let expected = ["publishable_client_key", "secret_server_key", "super_secret_admin_key", "project_id"];
    assert_eq!(answered, expected);
}

#[test]
fn a_secret_has_no_public_prefix_unless_it_is_publishable() {
    let text = refused(|stack| {
        for export in &mut stack.exports {
            export.public = vec!["VITE_".into()];
        }
    });
    let expected = "`STACK_SECRET_SERVER_KEY` has a secret in it that is not `publishable`, and the public prefix `VITE_`";
    assert_eq!(text, expected);
    for name in ["REACT_APP_KEY", "NEXT_PUBLIC_KEY", "SITE_KEY"] {
        let text = refused(|stack| {
            stack.exports[0].public = vec!["SITE_".into()];
            stack.exports.push(export(name, "{url:backend}?key={secret:secret_server_key}"));
        });
        assert!(text.contains("and the public prefix"), "{text}");
    }
    let text = refused(|stack| {
        let open = stack.exports.iter_mut().find(|export| export.name == "STACK_PROJECT_ID").unwrap();
        open.project = Some("secret_server_key".into());
    });
    assert_eq!(text, "`STACK_PROJECT_ID` takes from a project what another variable has as a secret");
}

#[test]
fn variables_that_take_a_program_over_are_refused() {
    for name in [
        "PATH",
        "Path",
        "LD_PRELOAD",
        "DYLD_INSERT_LIBRARIES",
        "NODE_OPTIONS",
        "PYTHONPATH",
        "BASH_ENV",
        "ENV",
        "PROMPT_COMMAND",
        "GIT_SSH_COMMAND",
        "GITHUB_TOKEN",
        "http_proxy",
        "RUSTC_WRAPPER",
        "EMULATOR_INSTANCE",
        "STACK_EMULATOR_HOME",
        "npm_config_registry",
    ] {
        let text = refused(|stack| stack.exports.push(export(name, "x")));
        assert!(text.starts_with(&format!("`{name}` cannot be exported")), "{text}");
    }
    let prefixed = |stack: &mut Stack| stack.exports[0].public = vec!["LD_".into()];
    assert!(refused(prefixed).starts_with("`LD_STACK_PUBLISHABLE_CLIENT_KEY` cannot be exported"));
    for name in ["", "1A", "A B", "A=B", "A\nB"] {
        let text = refused(|stack| stack.exports.push(export(name, "x")));
        assert!(text.ends_with("is not a valid name of a variable"), "{text}");
    }
}

#[test]
fn a_variable_is_exported_once_prefixes_included() {
    let text = refused(|stack| stack.exports.push(export("VITE_STACK_API_URL", "x")));
    assert_eq!(text, "the variable `VITE_STACK_API_URL` is exported twice");
    let text = refused(|stack| stack.exports[1].public = vec!["A_".into(), "A_".into()]);
    assert_eq!(text, "the variable `A_STACK_SECRET_SERVER_KEY` is exported twice");
}

#[test]
fn a_value_names_ports_and_secrets_that_exist() {
    let text = refused(|stack| stack.exports.push(export("A", "{port:mail}")));
    assert_eq!(text, "`A` names the port \"mail\", which does not exist");
    let text = refused(|stack| stack.exports.push(export("A", "{secret:none}")));
    assert_eq!(text, "`A` names the secret \"none\", which does not exist");
    let text = refused(|stack| stack.exports.push(export("A", "a\nb")));
    assert_eq!(text, "the value of `A` has a control character, or is too long");
    let text = refused(|stack| stack.exports = vec![stack.exports[0].clone(); 65]);
    assert_eq!(text, "there are 65 variables, and at most 64");
}

#[test]
fn projects_are_asked_for_as_the_stack_can_answer() {
    let project = |change: fn(&mut ProjectRequest)| refused(|stack| change(stack.project.as_mut().unwrap()));
    let text = project(|project| project.port = "mail".into());
    assert_eq!(text, "projects are asked for at the port \"mail\", which does not exist");
    let text = project(|project| project.path = "project".into());
    assert_eq!(text, "the path of projects at port `backend` does not start with `/`");
    let text = project(|project| drop(project.headers.insert("Host".into(), "x".parse().unwrap())));
    assert_eq!(text, "`Host` is a header that the request has already");
    let text = project(|project| drop(project.headers.insert("a".into(), "{secret:none}".parse().unwrap())));
    assert_eq!(text, "`a` names the secret \"none\", which does not exist");
    let text = refused(|stack| stack.project = None);
    assert_eq!(text, "`STACK_PUBLISHABLE_CLIENT_KEY` takes its value from a project, and there are none");
    let text = refused(|stack| stack.exports.iter_mut().for_each(|export| export.project = None));
    assert_eq!(text, "no variable takes its value from a project");
}

#[test]
fn a_stack_without_exports_reads_back_without_them() {
    let (exports, project) = (Vec::new(), None);
    let without = Stack { exports, project, ..stack() };
    let json = serde_json::to_value(&without).unwrap();
    assert!(json.get("exports").is_none() && json.get("project").is_none(), "{json}");
    assert_eq!(serde_json::from_value::<Stack>(json).unwrap(), without);
}
