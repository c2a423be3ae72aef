//! The token file: `token,user,uid[,"group1,group2"]`, one a line, as kube-apiserver's `--token-auth-file`.
//!
//! A token that is there twice is an error; kube-apiserver takes the last and logs a warning.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::Error;
use crate::request::User;
use crate::server::Token;

/// The tokens of a file, none of which may be the administrator's.
pub(super) fn read(path: &Path, admin: &str) -> Result<Vec<Token>, Error> {
    let file = |source| Error::File {
        path: path.to_path_buf(),
        source,
    };
    let text = fs::read_to_string(path).map_err(file)?;
    let lines = text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'));
    let mut seen = BTreeMap::new();
    let parsed = lines.map(|(i, line)| {
        let token = parse(line).and_then(|token| {
            // Tokens are secrets: a message names the line.
            if token.token == admin {
                return Err("it has the administrator's token".to_owned());
            }
            match seen.insert(token.token.clone(), i + 1) {
                Some(first) => Err(format!("it has the token of line {first}")),
                None => Ok(token),
            }
        });
        token.map_err(|what| Error::TokenFile {
            path: path.to_path_buf(),
            line: i + 1,
            what,
        })
    });
    parsed.collect()
}

fn parse(line: &str) -> Result<Token, String> {
    let fields = fields(line)?;
    let [token, name, uid, rest @ ..] = fields.as_slice() else {
        return Err(format!(
            "needs token, user name and uid, has {} fields",
            fields.len()
        ));
    };
    if token.is_empty() || name.is_empty() {
        return Err("token and user name must not be empty".to_owned());
    }
    let mut groups: Vec<String> = rest
        .first()
        .map_or("", String::as_str)
        .split(',')
        .filter(|g| !g.is_empty())
        .map(String::from)
        .collect();
    groups.push("system:authenticated".to_owned());
    Ok(Token {
        token: token.clone(),
        user: User {
            name: name.clone(),
            uid: uid.clone(),
            groups,
            ..User::default()
        },
    })
}

/// The fields of a CSV line; a quoted field may hold commas and doubled quotes.
fn fields(line: &str) -> Result<Vec<String>, String> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    let mut chars = line.trim().chars().peekable();
    while let Some(c) = chars.next() {
        let field = fields.last_mut().ok_or("no field")?;
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                field.push('"');
            }
            '"' if quoted => quoted = false,
            '"' if field.trim().is_empty() => {
                field.clear();
                quoted = true;
            }
            ',' if !quoted => fields.push(String::new()),
            c => field.push(c),
        }
    }
    if quoted {
        Err("a quote is not closed".to_owned())
    } else {
        Ok(fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_token_file() {
        let token = parse(r#"usertoken,alice,alice,"dev,ops""#).unwrap();
        assert_eq!(
            (token.token.as_str(), token.user.name.as_str()),
            ("usertoken", "alice")
        );
        assert_eq!(token.user.groups, ["dev", "ops", "system:authenticated"]);
        assert_eq!(
            parse("t,u,1").unwrap().user.groups,
            ["system:authenticated"]
        );
        assert!(parse("t,u").is_err() && parse(",u,1").is_err() && parse("t,u,1,\"dev").is_err());
    }
}
