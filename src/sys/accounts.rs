//! Users and groups of the machine, as /etc/passwd and /etc/group have them, and becoming one.

use std::fs;
use std::io;

use rustix::process::{Gid, Uid, geteuid};
use rustix::thread::{
    CapabilitySet, CapabilitySets, set_capabilities, set_keep_capabilities, set_thread_gid,
    set_thread_groups, set_thread_uid,
};

const USERS: &str = "/etc/passwd";
const GROUPS: &str = "/etc/group";

/// The numbers of "user", "user:group" or ":group". A user alone brings the group that
/// /etc/passwd gives it; what is not written is left as it is, which the kernel takes -1 for.
pub fn ids(owner: &str) -> Result<(u32, u32), String> {
    let (user, group) = match owner.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (owner, None),
    };
    let (uid, own_gid) = if user.is_empty() {
        (u32::MAX, u32::MAX)
    } else if let Ok(uid) = user.parse() {
        (uid, u32::MAX)
    } else {
        let entry = entry(USERS, user)?;
        let number = |at: usize| entry.get(at).and_then(|field| field.parse().ok());
        let uid = number(2).ok_or_else(|| format!("there is no user `{user}`"))?;
        (uid, number(3).unwrap_or(u32::MAX))
    };
    let gid = match group {
        None => own_gid,
        Some("") => u32::MAX,
        Some(group) => {
            if let Ok(gid) = group.parse() {
                return Ok((uid, gid));
            }
            let entry = entry(GROUPS, group)?;
            let gid = entry.get(2).and_then(|field| field.parse().ok());
            gid.ok_or_else(|| format!("there is no group `{group}`"))?
        }
    };
    Ok((uid, gid))
}

/// The fields of the line that a name begins; none if there is no such line.
fn entry(file: &str, name: &str) -> Result<Vec<String>, String> {
    let fields = |line: &str| line.split(':').map(str::to_owned).collect::<Vec<_>>();
    Ok(read(file)?
        .lines()
        .map(fields)
        .find(|fields| fields.first().is_some_and(|first| first == name))
        .unwrap_or_default())
}

/// The groups that list this user as a member.
fn groups_of(user: &str) -> Result<Vec<u32>, String> {
    let text = read(GROUPS)?;
    let groups = text.lines().filter_map(|line| {
        let mut fields = line.split(':').skip(2);
        let (number, members) = (fields.next()?, fields.next()?);
        let is_member = members.split(',').any(|member| member == user);
        number.parse().ok().filter(|_| is_member)
    });
    Ok(groups.collect())
}

fn read(file: &str) -> Result<String, String> {
    fs::read_to_string(file).map_err(|error| format!("cannot read {file}: {error}"))
}

/// Becomes this user: `user`, `user:group`, names or numbers. Ports below 1024 can still be
/// listened on, now and after every reload; nothing else of what root may is kept.
///
/// Must come before any thread is started: what this changes is a thread's own, and handed on to
/// those that it starts.
///
/// # Errors
/// There is no such user or group, or this process may not become another one.
pub fn become_user(owner: &str) -> Result<(), String> {
    let (uid, gid) = ids(owner)?;
    if uid == u32::MAX {
        return Err(format!("`{owner}` names no user"));
    }
    if geteuid().as_raw() == uid {
        return Ok(());
    }
    let user = owner.split(':').next().unwrap_or_default();
    if gid == u32::MAX {
        return Err(format!(
            "the group of `{user}` is not known; write {user}:GROUP"
        ));
    }
    let mut groups = groups_of(user)?;
    groups.push(gid);
    switch(uid, gid, &groups).map_err(|error| format!("cannot become `{owner}`: {error}"))
}

fn switch(uid: u32, gid: u32, groups: &[u32]) -> io::Result<()> {
    let groups: Vec<_> = groups.iter().map(|group| Gid::from_raw(*group)).collect();
    set_thread_groups(&groups)?;
    set_thread_gid(Gid::from_raw(gid))?;
    set_keep_capabilities(true)?;
    set_thread_uid(Uid::from_raw(uid))?;
    let kept = CapabilitySet::NET_BIND_SERVICE;
    set_capabilities(
        None,
        CapabilitySets {
            effective: kept,
            permitted: kept,
            inheritable: CapabilitySet::empty(),
        },
    )?;
    set_keep_capabilities(false)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_are_numbers_or_known_names() {
        assert_eq!(ids("1000:100"), Ok((1000, 100)));
        assert_eq!(ids("1000"), Ok((1000, u32::MAX)));
        assert_eq!(ids(":100"), Ok((u32::MAX, 100)));
        assert_eq!(ids("root"), Ok((0, 0)));
        assert_eq!(ids("root:root"), Ok((0, 0)));
        assert_eq!(ids("root:"), Ok((0, u32::MAX)));
        let unknown = ids("nobody-is-called-so");
        assert_eq!(
            unknown,
            Err("there is no user `nobody-is-called-so`".into())
        );
        let unknown = ids("root:no-group-either");
        assert_eq!(unknown, Err("there is no group `no-group-either`".into()));
    }

    #[test]
    fn nobody_becomes_who_is_not_there() {
        let none = become_user("nobody-is-called-so").unwrap_err();
        assert!(none.contains("there is no user"), "{none}");
        assert!(become_user(":100").is_err());
        // Who asks for what it is already gets it, without any right.
        let own = geteuid().as_raw().to_string();
        become_user(&own).unwrap();
    }
}
