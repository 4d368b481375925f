//! How much memory there is.

use std::path::{Path, PathBuf};

/// Bytes that can be taken without swapping or being killed; `None` where the system does not tell.
pub(crate) fn available() -> Option<u64> {
    let read = |path: &Path| std::fs::read_to_string(path).ok();
    let system = field(&read(Path::new("/proc/meminfo"))?, "MemAvailable:").map(|kib| kib << 10)?;
    let group = read(Path::new("/proc/self/cgroup")).and_then(|text| group_left(&text, &read));
    Some(group.map_or(system, |group| group.min(system)))
}

/// What the narrowest of the process's control groups leaves.
fn group_left(groups: &str, read: &dyn Fn(&Path) -> Option<String>) -> Option<u64> {
    let own = |line: &str| Some(PathBuf::from(line.strip_prefix("0::/")?));
    let unified = groups.lines().find_map(own).map(|own| Path::new("/sys/fs/cgroup").join(own));
    let first = groups.lines().find_map(|line| line.split_once(":memory:/").map(|(_, own)| own.to_string()));
    let first = first.map(|own| Path::new("/sys/fs/cgroup/memory").join(own));
    let unified = unified
        .iter()
        .flat_map(|path| path.ancestors())
        .filter_map(|dir| left(dir, ["memory.max", "memory.current", "inactive_file"], read));
    let first = first
        .iter()
        .flat_map(|path| path.ancestors())
        .filter_map(|dir| left(dir, ["memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"], read));
    unified.chain(first).min()
}

/// Limit less use; what was read from files and can be read again does not count as used.
fn left(dir: &Path, [limit, used, cached]: [&str; 3], read: &dyn Fn(&Path) -> Option<String>) -> Option<u64> {
    let number = |name: &str| read(&dir.join(name))?.trim().parse::<u64>().ok();
    let cached = read(&dir.join("memory.stat")).and_then(|stat| field(&stat, cached)).unwrap_or(0);
    Some(number(limit)?.saturating_sub(number(used)?.saturating_sub(cached)))
}

/// The number after a name at a line's beginning.
fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix([' ', '\t']))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_narrowest_group_counts() {
        let files = |path: &Path| {
            let text = match path.to_str()? {
                "/sys/fs/cgroup/a/b/memory.max" => "max\n",
                "/sys/fs/cgroup/a/b/memory.current" => "100\n",
                "/sys/fs/cgroup/a/memory.max" => "5000\n",
                "/sys/fs/cgroup/a/memory.current" => "3000\n",
                "/sys/fs/cgroup/a/memory.stat" => "anon 1\ninactive_file 500\n",
                _ => return None,
            };
            Some(text.to_string())
        };
        assert_eq!(group_left("0::/a/b\n", &files), Some(2500));
        assert_eq!(group_left("0::/c\n", &files), None);
    }

    #[test]
    fn the_first_version_of_groups_is_read_too() {
        let files = |path: &Path| {
            let text = match path.to_str()? {
                "/sys/fs/cgroup/memory/x/memory.limit_in_bytes" => "4096",
                "/sys/fs/cgroup/memory/x/memory.usage_in_bytes" => "96",
                _ => return None,
            };
            Some(text.to_string())
        };
        assert_eq!(group_left("4:cpu:/x\n5:memory:/x\n", &files), Some(4000));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_system_tells() {
        assert!(available().unwrap() > 1 << 20);
    }
}
