//! One statement for many: what several decisions ask at the same time with the same text is asked once, with arrays.
//!
//! A text is rewritten by its shape alone, once, when it is prepared; values are bound as ever. What fits no shape is run
//! as it is, one by one.

use tokio_postgres::types::Type;

/// Rewrites a statement to be run for many; the types are those of its values. A question gives rows with the number of
/// their asker first. A write touches one row for each that asks, or fails: whose row it was that was not there is found
/// out by running each alone.
pub(crate) fn grouped(sql: &str, types: &[Type]) -> Option<String> {
    if types.is_empty() {
        return None;
    }
    let from = source(types);
    let sql = sql.trim();
    if sql.starts_with("SELECT ") && !sql.contains(" FOR ") {
        let inner = bound(sql);
        return Some(format!("SELECT v.i, q.* FROM {from} CROSS JOIN LATERAL ({inner}) AS q"));
    }
    if let Some((head, list, tail)) = parted(sql) {
        let list = bound(list);
        return Some(for_each(&format!("{head} SELECT {list} FROM {from} ORDER BY v.i {tail}")));
    }
    let place = condition(sql)?;
    let (set, condition) = (bound(&sql[..place]), bound(&sql[place..]));
    Some(for_each(&format!("{set} FROM {from} {condition}")))
}

/// Whether a statement writes, and has a form for many.
pub(crate) fn writes_for_many(sql: &str) -> bool {
    let sql = sql.trim();
    sql.contains('?') && (parted(sql).is_some() || condition(sql).is_some())
}

/// Where an `UPDATE` begins to say which rows it changes.
fn condition(sql: &str) -> Option<usize> {
    if sql.starts_with("UPDATE ") { sql.find("WHERE ") } else { None }
}

/// Fails where not one row was touched for each of the values.
fn for_each(write: &str) -> String {
    format!(
        "WITH w AS ({write} RETURNING 1) SELECT 1 / (CASE count(*) WHEN cardinality($1) THEN 1 ELSE 0 END) FROM w"
    )
}

/// `unnest($1::bytea[], $2::int8[]) WITH ORDINALITY AS v (c1, c2, i)`
fn source(types: &[Type]) -> String {
    let arrays: Vec<String> =
        types.iter().enumerate().map(|(n, ty)| format!("${}::{}[]", n + 1, ty.name())).collect();
    let columns: Vec<String> = (1..=types.len()).map(|n| format!("c{n}")).collect();
    format!("unnest({}) WITH ORDINALITY AS v ({}, i)", arrays.join(", "), columns.join(", "))
}

/// The values of a statement, as columns of that source.
fn bound(sql: &str) -> String {
    sql.replace('?', "v.c")
}

/// An `INSERT` before, within and after its one list of values.
fn parted(sql: &str) -> Option<(&str, &str, &str)> {
    let (head, rest) = sql.split_once("VALUES (").filter(|_| sql.starts_with("INSERT "))?;
    let mut depth = 1;
    let end = rest.char_indices().find_map(|(place, c)| {
        depth += i32::from(c == '(') - i32::from(c == ')');
        (depth == 0).then_some(place)
    })?;
    let (list, tail) = (&rest[..end], &rest[end + 1..]);
    let plain = !tail.contains('?') && !tail.trim_start().starts_with(',');
    plain.then_some((head, list, tail))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: [Type; 2] = [Type::BYTEA, Type::INT8];
    const SOURCE: &str = "unnest($1::bytea[], $2::int8[]) WITH ORDINALITY AS v (c1, c2, i)";

    fn writing(inner: &str) -> Option<String> {
        Some(format!(
            "WITH w AS ({inner} RETURNING 1) SELECT 1 / (CASE count(*) WHEN cardinality($1) THEN 1 ELSE 0 END) FROM w"
        ))
    }

    #[test]
    fn each_shape_is_run_for_many() {
        let expected = format!(
            "SELECT v.i, q.* FROM {SOURCE} CROSS JOIN LATERAL (SELECT a FROM t WHERE k = v.c1 LIMIT v.c2) AS q"
        );
        assert_eq!(grouped("SELECT a FROM t WHERE k = ?1 LIMIT ?2", &TWO), Some(expected));
        let insert = "INSERT INTO t (k, n) VALUES (?1, f(?2, (1))) ON CONFLICT DO NOTHING";
        let expected = format!(
            "INSERT INTO t (k, n)  SELECT v.c1, f(v.c2, (1)) FROM {SOURCE} ORDER BY v.i  ON CONFLICT DO NOTHING"
        );
        assert_eq!(grouped(insert, &TWO), writing(&expected));
        let update = "UPDATE t SET n = ?2 WHERE k = ?1";
        let expected = format!("UPDATE t SET n = v.c2  FROM {SOURCE} WHERE k = v.c1");
        assert_eq!(grouped(update, &TWO), writing(&expected));
        assert!(writes_for_many(insert) && writes_for_many(update));
    }

    #[test]
    fn what_fits_no_shape_is_left_alone() {
        for sql in [
            "DELETE FROM t WHERE k = ?1 AND n < ?2",
            "SELECT n FROM t WHERE k = ?1 AND n = ?2 FOR SHARE",
            "INSERT INTO t (k, n) SELECT ?1, n FROM t WHERE n = ?2",
            "INSERT INTO t (k, n) VALUES (?1, 1) ON CONFLICT (k) DO UPDATE SET n = ?2",
            "INSERT INTO t (k, n) VALUES (?1, 1), (?1, ?2)",
        ] {
            assert_eq!(grouped(sql, &TWO), None, "{sql}");
            assert!(!writes_for_many(sql), "{sql}");
        }
        assert_eq!(grouped("SELECT id FROM tenants", &[]), None);
        assert!(!writes_for_many("SELECT id FROM tenants WHERE id = ?1"));
    }
}
