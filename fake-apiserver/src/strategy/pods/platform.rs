//! Checks of what belongs to one operating system: windows options, AppArmor profiles, and fields that `spec.os` rules out.
//!
//! Does not own seccomp profiles (`containers`). Simplification: fields and annotations of AppArmor are not compared.
//! Source: `pkg/apis/core/validation` (validateLinux, validateWindows, validateWindowsSecurityContextOptions,
//! validateWindowsHostProcessPod, ValidateAppArmorProfileField).

use crate::json::Value;

use super::super::field::{At, Errors};
use super::super::names::Names;

const CREDENTIALS_BYTES_MAX: usize = 64 * 1024;
const DOMAIN_BYTES_MAX: usize = 255;
const USER_BYTES_MAX: usize = 104;
const PROFILE_BYTES_MAX: usize = 4095;

const APP_ARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";

/// Fields of a Pod's security context that mean nothing to windows, those of the spec itself among them, in the order in
/// which they are looked at.
const POD_FIELDS: [&str; 15] = [
    "appArmorProfile",
    "seLinuxOptions",
    "hostUsers",
    "hostPID",
    "hostIPC",
    "seccompProfile",
    "fsGroup",
    "fsGroupChangePolicy",
    "sysctls",
    "shareProcessNamespace",
    "runAsUser",
    "runAsGroup",
    "supplementalGroups",
    "supplementalGroupsPolicy",
    "seLinuxChangePolicy",
];

/// The same of a container's.
const CONTAINER_FIELDS: [&str; 10] = [
    "appArmorProfile",
    "seLinuxOptions",
    "seccompProfile",
    "capabilities",
    "readOnlyRootFilesystem",
    "privileged",
    "allowPrivilegeEscalation",
    "procMount",
    "runAsUser",
    "runAsGroup",
];

/// `spec.os`, and what it rules out.
pub(super) fn system(errors: &mut Errors, spec: &At) {
    let os = spec.field("os");
    if !os.is_set() {
        return;
    }
    let name = os.field("name");
    match name.text() {
        "" => errors.required(&name, "cannot be empty"),
        "linux" => linux(errors, spec),
        "windows" => windows(errors, spec),
        _ => errors.unsupported(&spec.field_as("os", name.value()), &["linux", "windows"]),
    }
}

/// Calls a check with each container, in the order in which the real server visits them.
fn each_container(spec: &At, mut check: impl FnMut(&At)) {
    for list in ["initContainers", "containers", "ephemeralContainers"] {
        for container in spec.field(list).items() {
            check(&container);
        }
    }
}

fn linux(errors: &mut Errors, spec: &At) {
    let mut check = |holder: &At| {
        let context = holder.field("securityContext");
        let options = context.field("windowsOptions");
        if options.is_set() {
            errors.forbidden(&options, "windows options cannot be set for a linux pod");
        }
    };
    check(spec);
    each_container(spec, check);
}

fn windows(errors: &mut Errors, spec: &At) {
    const WHY: &str = "cannot be set for a windows pod";
    let context = spec.field("securityContext");
    for name in POD_FIELDS {
        let at = match name {
            "hostUsers" | "hostPID" | "hostIPC" | "shareProcessNamespace" => spec.field(name),
            _ => context.field(name),
        };
        let given = match name {
            "hostPID" | "hostIPC" => at.flag(),
            "sysctls" => !at.list().is_empty(),
            _ => at.is_set(),
        };
        if given {
            errors.forbidden(&at, WHY);
        }
    }
    each_container(spec, |container| {
        let context = container.field("securityContext");
        for name in CONTAINER_FIELDS {
            if context.field(name).is_set() {
                errors.forbidden(&context.field(name), WHY);
            }
        }
    });
}

/// Containers that are processes of their node: all or none, and in its network.
pub(super) fn host_process(errors: &mut Errors, spec: &At) {
    let asked = |holder: &At| {
        let options = &holder.value()["securityContext"]["windowsOptions"];
        options["hostProcess"].as_bool()
    };
    let of_pod = asked(spec);
    let (mut all, mut processes) = (0, 0);
    each_container(spec, |container| {
        all += 1;
        let own = asked(container);
        processes += usize::from(own.or(of_pod) == Some(true));
        if let (Some(pod), Some(own)) = (of_pod, own)
            && pod != own
        {
            let context = container.field("securityContext");
            let options = context.field("windowsOptions");
            let why =
                format!("pod hostProcess value must be identical if both are specified, was {pod}");
            errors.invalid(&options.field("hostProcess"), &why);
        }
    });
    if processes == 0 {
        return;
    }
    if processes != all {
        let why = "If pod contains any hostProcess containers then all containers must be HostProcess containers";
        errors.invalid_as(spec, "", why);
    }
    if !spec.field("hostNetwork").flag() {
        let why = "hostNetwork must be true if pod contains any hostProcess containers";
        errors.invalid_as(&spec.field("hostNetwork"), false, why);
    }
}

/// `windowsOptions` of a container or Pod.
pub(super) fn windows_options(errors: &mut Errors, at: &At) {
    let name = at.field("gmsaCredentialSpecName");
    if name.is_set() {
        errors.name(&name, Names::Subdomain);
    }
    let credentials = at.field("gmsaCredentialSpec");
    match credentials.text().len() {
        0 if credentials.is_set() => {
            errors.invalid(&credentials, "gmsaCredentialSpec cannot be an empty string");
        }
        length if length > CREDENTIALS_BYTES_MAX => {
            errors.invalid(&credentials, "gmsaCredentialSpec size must be under 64 KiB");
        }
        _ => {}
    }
    let user = at.field("runAsUserName");
    if user.is_set() {
        user_name(errors, &user);
    }
}

fn user_name(errors: &mut Errors, at: &At) {
    let mut wrong = |what: &str| errors.invalid(at, &format!("runAsUserName{what}"));
    let text = at.text();
    if text.is_empty() {
        return wrong(" cannot be an empty string");
    }
    if text.bytes().any(|b| b.is_ascii_control()) {
        return wrong(" cannot contain control characters");
    }
    let (domain, user) = match text.split_once('\\') {
        Some((_, user)) if user.contains('\\') => {
            return wrong(" cannot contain more than one backslash");
        }
        Some((domain, user)) => (Some(domain), user),
        None => (None, text),
    };
    if let Some(domain) = domain {
        if domain.len() > DOMAIN_BYTES_MAX {
            wrong("'s Domain length must be under 256 characters");
        }
        if !is_net_bios(domain) && !is_dns(domain) {
            wrong("'s Domain doesn't match the NetBios nor the DNS format");
        }
    }
    if user.is_empty() {
        wrong("'s User cannot be empty");
    } else if user.len() > USER_BYTES_MAX {
        wrong("'s User length must not be longer than 104 characters");
    }
    if !user.is_empty() && user.chars().all(|c| c == '.' || c == ' ') {
        wrong("'s User cannot contain only periods or spaces");
    }
    if user.contains(|c| "\"/\\:;|=,+*?<>@[]".contains(c)) {
        wrong("'s User cannot contain the following characters: \"/\\:;|=,+*?<>@[]");
    }
}

fn is_net_bios(domain: &str) -> bool {
    (1..=15).contains(&domain.chars().count())
        && !domain.starts_with('.')
        && !domain.contains(|c| "\\/:*?\"<>|".contains(c))
}

fn is_dns(domain: &str) -> bool {
    domain.split('.').all(|label| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    })
}

/// An AppArmor profile of a container or Pod.
pub(super) fn app_armor(errors: &mut Errors, at: &At) {
    if !at.is_set() {
        return;
    }
    const MISSING: &str = "must be set when AppArmor type is Localhost";
    let (kind, profile) = (at.field("type"), at.field("localhostProfile"));
    match kind.text() {
        "Localhost" => {
            let text = profile.text();
            if text.trim() != text {
                errors.invalid(&profile, "must not be padded with whitespace");
            } else if text.is_empty() {
                errors.required(&profile, MISSING);
            }
            if text.len() > PROFILE_BYTES_MAX {
                errors.too_long(&profile, PROFILE_BYTES_MAX);
            }
        }
        "RuntimeDefault" | "Unconfined" => {
            if profile.is_set() {
                errors.invalid(&profile, "can only be set when AppArmor type is Localhost");
            }
        }
        "" => errors.required(&kind, "type is required when appArmorProfile is set"),
        _ => errors.unsupported(&kind, &["Localhost", "RuntimeDefault", "Unconfined"]),
    }
}

/// Annotations of a Pod that name profiles, as was done before there was a field.
pub(super) fn app_armor_annotations(errors: &mut Errors, annotations: &At, spec: &Value) {
    for (key, annotation) in annotations.entries() {
        let Some(container) = key.strip_prefix(APP_ARMOR) else {
            continue;
        };
        let lists = ["initContainers", "containers", "ephemeralContainers"];
        let mut containers = lists.iter().flat_map(|list| spec.array_at(&[list]));
        if !containers.any(|one| one.str_at(&["name"]) == container) {
            errors.invalid_as(&annotation, container, "container not found");
        }
        let text = annotation.text();
        let known = matches!(text, "" | "runtime/default" | "unconfined");
        if !known && !text.starts_with("localhost/") {
            let why = format!(
                "invalid AppArmor profile name: {}",
                crate::status::go_quote(text)
            );
            errors.invalid(&annotation, &why);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    fn check(spec: Value, rule: impl Fn(&mut Errors, &At), want: &[&str]) {
        let mut errors = Errors::default();
        rule(&mut errors, &At::named("spec", &spec));
        let got: Vec<String> = errors.causes.iter().map(|cause| cause.text()).collect();
        assert_eq!(got, want, "{spec}");
    }

    #[test]
    fn o7_a_system_rules_out_the_fields_of_the_other() {
        let options = json!({"windowsOptions": {"runAsUserName": "u"}});
        let spec = |os: &str, context: Value| json!({"os": {"name": os}, "hostPID": true, "hostIPC": false, "securityContext": context.clone(), "initContainers": [{"securityContext": context}]});
        check(
            spec("windows", options.clone()),
            system,
            &["spec.hostPID: Forbidden: cannot be set for a windows pod"],
        );
        check(
            spec("linux", options),
            system,
            &[
                "spec.securityContext.windowsOptions: Forbidden: windows options cannot be set for a linux pod",
                "spec.initContainers[0].securityContext.windowsOptions: Forbidden: windows options cannot be set for a linux pod",
            ],
        );
        check(
            spec(
                "windows",
                json!({"runAsUser": 1, "fsGroup": 2, "procMount": "Default"}),
            ),
            system,
            &[
                "spec.hostPID: Forbidden: cannot be set for a windows pod",
                "spec.securityContext.fsGroup: Forbidden: cannot be set for a windows pod",
                "spec.securityContext.runAsUser: Forbidden: cannot be set for a windows pod",
                "spec.initContainers[0].securityContext.procMount: Forbidden: cannot be set for a windows pod",
                "spec.initContainers[0].securityContext.runAsUser: Forbidden: cannot be set for a windows pod",
            ],
        );
        check(
            json!({"os": {}}),
            system,
            &["spec.os.name: Required value: cannot be empty"],
        );
    }

    #[test]
    fn o7_processes_of_the_node_are_all_or_none() {
        let options = |process: bool| json!({"securityContext": {"windowsOptions": {"hostProcess": process}}});
        let mut spec = options(true);
        spec["containers"] = json!([{}, (options(false))]);
        check(
            spec,
            host_process,
            &[
                "spec.containers[1].securityContext.windowsOptions.hostProcess: Invalid value: false: pod hostProcess value must be identical if both are specified, was true",
                "spec: Invalid value: \"\": If pod contains any hostProcess containers then all containers must be HostProcess containers",
                "spec.hostNetwork: Invalid value: false: hostNetwork must be true if pod contains any hostProcess containers",
            ],
        );
        check(
            json!({"containers": [(options(true))], "hostNetwork": true}),
            host_process,
            &[],
        );
    }

    #[test]
    fn o7_windows_users_have_names_of_their_own() {
        let user = |name: &str, want: &[&str]| {
            let shown = Value::from(name);
            let want: Vec<String> = want
                .iter()
                .map(|why| {
                    format!("spec.runAsUserName: Invalid value: {shown}: runAsUserName{why}")
                })
                .collect();
            let want: Vec<&str> = want.iter().map(String::as_str).collect();
            check(json!({"runAsUserName": name}), windows_options, &want);
        };
        user("user", &[]);
        user("NT AUTHORITY\\NETWORK SERVICE", &[]);
        user("", &[" cannot be an empty string"]);
        user("a\\b\\c", &[" cannot contain more than one backslash"]);
        user("a\tb", &[" cannot contain control characters"]);
        user(
            ".x!\\",
            &[
                "'s Domain doesn't match the NetBios nor the DNS format",
                "'s User cannot be empty",
            ],
        );
        user("..", &["'s User cannot contain only periods or spaces"]);
        user(
            "a@b",
            &["'s User cannot contain the following characters: \"/\\:;|=,+*?<>@[]"],
        );
    }

    #[test]
    fn o7_profiles_of_app_armor() {
        check(
            json!({"type": "Localhost"}),
            app_armor,
            &["spec.localhostProfile: Required value: must be set when AppArmor type is Localhost"],
        );
        check(
            json!({"type": "Localhost", "localhostProfile": " p"}),
            app_armor,
            &["spec.localhostProfile: Invalid value: \" p\": must not be padded with whitespace"],
        );
        check(
            json!({"type": "Unconfined", "localhostProfile": "p"}),
            app_armor,
            &[
                "spec.localhostProfile: Invalid value: \"p\": can only be set when AppArmor type is Localhost",
            ],
        );
        check(
            json!({"type": "X"}),
            app_armor,
            &[
                "spec.type: Unsupported value: \"X\": supported values: \"Localhost\", \"RuntimeDefault\", \"Unconfined\"",
            ],
        );
        let spec = json!({"containers": [{"name": "c"}]});
        let annotations =
            json!({(format!("{APP_ARMOR}c")): "odd", (format!("{APP_ARMOR}d")): "unconfined"});
        check(
            annotations,
            |errors, at| app_armor_annotations(errors, at, &spec),
            &[
                "spec[container.apparmor.security.beta.kubernetes.io/c]: Invalid value: \"odd\": invalid AppArmor profile name: \"odd\"",
                "spec[container.apparmor.security.beta.kubernetes.io/d]: Invalid value: \"d\": container not found",
            ],
        );
    }
}
