//! Who may do what with a bucket or an object, apart from its owner. There is one user: all others are everyone.

use s3s::{
    S3Result,
    dto::{AccessControlPolicy, Grantee, Owner, Permission, Type},
    s3_error,
};
use serde::{Deserialize, Serialize};

use crate::store::rules::{of_text, to_text};

/// The canonical id of the only user.
pub(crate) const OWNER_ID: &str = "5374616b0000000000000000000000000000000000000000000000000000001f";

/// The name of the only user.
const OWNER_NAME: &str = "stack";

const EVERYONE: &str = "http://acs.amazonaws.com/groups/global/AllUsers";
const AUTHENTICATED: &str = "http://acs.amazonaws.com/groups/global/AuthenticatedUsers";
const LOG_DELIVERY: &str = "http://acs.amazonaws.com/groups/s3/LogDelivery";

/// To whom something is granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Who {
    Owner,
    Everyone,
    Authenticated,
    LogDelivery,
}

/// What is granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum What {
    FullControl,
    Read,
    Write,
    ReadAcp,
    WriteAcp,
}

impl What {
    const ALL: [Self; 5] = [Self::FullControl, Self::Read, Self::Write, Self::ReadAcp, Self::WriteAcp];

    fn name(self) -> &'static str {
        match self {
            Self::FullControl => Permission::FULL_CONTROL,
            Self::Read => Permission::READ,
            Self::Write => Permission::WRITE,
            Self::ReadAcp => Permission::READ_ACP,
            Self::WriteAcp => Permission::WRITE_ACP,
        }
    }
}

/// An access control list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Acl(Vec<(Who, What)>);

/// What a request says about access, in one of its three forms.
#[derive(Debug, Default)]
pub(crate) struct Wish<'a> {
    pub(crate) canned: Option<&'a str>,
    pub(crate) headers: [(Option<&'a str>, Option<What>); 5],
    pub(crate) document: Option<AccessControlPolicy>,
}

/// Collects the headers of a request that grant something.
macro_rules! grants_in {
    ($it:expr $(, $write:ident)?) => {
        [
            ($it.grant_full_control.as_deref(), Some($crate::acl::What::FullControl)),
            ($it.grant_read.as_deref(), Some($crate::acl::What::Read)),
            ($it.grant_read_acp.as_deref(), Some($crate::acl::What::ReadAcp)),
            ($it.grant_write_acp.as_deref(), Some($crate::acl::What::WriteAcp)),
            $crate::acl::grants_in!(@write $it $(, $write)?),
        ]
    };
    (@write $it:expr) => { (None, None) };
    (@write $it:expr, $write:ident) => { ($it.$write.as_deref(), Some($crate::acl::What::Write)) };
}

pub(crate) use grants_in;

impl Default for Acl {
    fn default() -> Self {
        Self(vec![(Who::Owner, What::FullControl)])
    }
}

impl Acl {
    /// Reads a list as it is kept; an empty text is the default.
    pub(crate) fn of_kept(text: &str) -> Self {
        if text.is_empty() { Self::default() } else { of_text(text) }
    }

    /// The text to keep.
    pub(crate) fn kept(&self) -> String {
        if *self == Self::default() { String::new() } else { to_text(self) }
    }

    /// Reads what a request wishes; without a wish there is none.
    pub(crate) fn of_wish(wish: Wish<'_>) -> S3Result<Option<Self>> {
        if let Some(document) = wish.document {
            return Self::of_document(document).map(Some);
        }
        let named = wish.headers.iter().filter_map(|(header, what)| Some(((*header)?, (*what)?)));
        let named: Vec<_> = named.collect();
        if !named.is_empty() {
            if wish.canned.is_some() {
                return Err(s3_error!(
                    InvalidRequest,
                    "a canned list and the headers of grants exclude each other"
                ));
            }
            let mut grants = Vec::new();
            for (header, what) in named {
                for grantee in header.split(',') {
                    grants.push((grantee_of_header(grantee.trim())?, what));
                }
            }
            return Ok(Some(Self(grants)));
        }
        wish.canned.map(Self::canned).transpose()
    }

    fn canned(name: &str) -> S3Result<Self> {
        let mut grants = Self::default().0;
        match name {
            "private" | "bucket-owner-read" | "bucket-owner-full-control" | "aws-exec-read" => {}
            "public-read" => grants.push((Who::Everyone, What::Read)),
            "public-read-write" => grants.extend([(Who::Everyone, What::Read), (Who::Everyone, What::Write)]),
            "authenticated-read" => grants.push((Who::Authenticated, What::Read)),
            "log-delivery-write" => {
                grants.extend([(Who::LogDelivery, What::Write), (Who::LogDelivery, What::ReadAcp)]);
            }
            _ => return Err(s3_error!(InvalidArgument, "unknown canned list `{name}`")),
        }
        Ok(Self(grants))
    }

    fn of_document(document: AccessControlPolicy) -> S3Result<Self> {
        let owner = document.owner.and_then(|owner| owner.id);
        if owner.is_some_and(|id| id != OWNER_ID) {
            return Err(s3_error!(AccessDenied, "the owner cannot be changed"));
        }
        let mut grants = Vec::new();
        for grant in document.grants.unwrap_or_default() {
            let (Some(grantee), Some(permission)) = (grant.grantee, grant.permission) else {
                return Err(s3_error!(MalformedACLError, "a grant needs a grantee and a permission"));
            };
            let what = What::ALL.into_iter().find(|what| what.name() == permission.as_str());
            let what = what.ok_or_else(|| s3_error!(MalformedACLError, "unknown permission"))?;
            let who = match (grantee.id, grantee.uri, grantee.email_address) {
                (Some(id), _, _) => user(&id)?,
                (_, Some(uri), _) => group(&uri)?,
                (_, _, Some(_)) => return Err(unknown_address()),
                _ => {
                    return Err(s3_error!(MalformedACLError, "a grantee needs an id, a group or an address"));
                }
            };
            grants.push((who, what));
        }
        Ok(Self(grants))
    }

    /// Whether it grants something to `who`.
    pub(crate) fn grants(&self, who: Who, what: What) -> bool {
        self.0.iter().any(|(to, granted)| *to == who && (*granted == what || *granted == What::FullControl))
    }

    /// Whether it grants anything to others than the owner.
    pub(crate) fn is_public(&self) -> bool {
        self.0.iter().any(|(who, _)| matches!(who, Who::Everyone | Who::Authenticated))
    }

    /// The list as an answer has it.
    pub(crate) fn document(&self) -> Vec<s3s::dto::Grant> {
        let grant = |(who, what): &(Who, What)| s3s::dto::Grant {
            grantee: Some(grantee(*who)),
            permission: Some(Permission::from_static(what.name())),
        };
        self.0.iter().map(grant).collect()
    }
}

fn grantee(who: Who) -> Grantee {
    let uri = match who {
        Who::Owner => None,
        Who::Everyone => Some(EVERYONE),
        Who::Authenticated => Some(AUTHENTICATED),
        Who::LogDelivery => Some(LOG_DELIVERY),
    };
    Grantee {
        display_name: uri.is_none().then(|| OWNER_NAME.to_owned()),
        email_address: None,
        id: uri.is_none().then(|| OWNER_ID.to_owned()),
        type_: Type::from_static(if uri.is_some() { Type::GROUP } else { Type::CANONICAL_USER }),
        uri: uri.map(str::to_owned),
    }
}

fn grantee_of_header(text: &str) -> S3Result<Who> {
    let (kind, value) = text.split_once('=').unwrap_or((text, ""));
    let value = value.trim_matches('"');
    match kind {
        "id" => user(value),
        "uri" => group(value),
        "emailAddress" => Err(unknown_address()),
        _ => Err(s3_error!(InvalidArgument, "`{text}` is not a grantee")),
    }
}

fn user(id: &str) -> S3Result<Who> {
    if id == OWNER_ID { Ok(Who::Owner) } else { Err(s3_error!(InvalidArgument, "Invalid id")) }
}

fn group(uri: &str) -> S3Result<Who> {
    match uri {
        EVERYONE => Ok(Who::Everyone),
        AUTHENTICATED => Ok(Who::Authenticated),
        LOG_DELIVERY => Ok(Who::LogDelivery),
        _ => Err(s3_error!(InvalidArgument, "Invalid group uri")),
    }
}

fn unknown_address() -> s3s::S3Error {
    s3_error!(UnresolvableGrantByEmailAddress, "no user has this address")
}

/// The only user.
pub(crate) fn owner() -> Owner {
    Owner { display_name: Some(OWNER_NAME.to_owned()), id: Some(OWNER_ID.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_canned_list_grants_what_its_name_says() {
        let acl = Acl::of_wish(Wish { canned: Some("public-read"), ..Wish::default() }).unwrap().unwrap();
        assert!(acl.grants(Who::Everyone, What::Read) && !acl.grants(Who::Everyone, What::Write));
        assert!(acl.grants(Who::Owner, What::WriteAcp), "full control is everything");
        assert_eq!(Acl::of_kept(&acl.kept()), acl);
        assert!(Acl::of_wish(Wish { canned: Some("mine"), ..Wish::default() }).is_err());
    }

    #[test]
    fn headers_name_users_and_groups() {
        let header = format!(r#"id="{OWNER_ID}", uri="{EVERYONE}""#);
        let headers = [
            (Some(header.as_str()), Some(What::Read)),
            (None, None),
            (None, None),
            (None, None),
            (None, None),
        ];
        let acl = Acl::of_wish(Wish { headers, ..Wish::default() }).unwrap().unwrap();
        assert!(acl.grants(Who::Owner, What::Read) && acl.is_public());
        let headers = [(Some(r#"emailAddress="a@b.test""#), Some(What::Read)); 5];
        let error = Acl::of_wish(Wish { headers, ..Wish::default() }).unwrap_err();
        assert_eq!(error.code().as_str(), "UnresolvableGrantByEmailAddress");
    }
}
