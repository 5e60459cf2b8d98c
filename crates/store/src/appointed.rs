//! What the tables of moderators and of bans have in common: someone, in a channel, since when and by whom.

/// Makes the functions of a table of appointments: `channel`, `member`, `created_by`, `created_at`.
macro_rules! appointed {
    ($table:literal) => {
        /// Adds an identity; false when it is in it.
        pub fn insert(tx: &mut Tx, channel: Key, member: Key, by: Key, now: Timestamp) -> Result<bool> {
            let sql = concat!(
                "INSERT INTO ",
                $table,
                " (channel, member, created_by, created_at) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING"
            );
            Ok(tx.execute(sql, values![channel, member, by, now])? == 1)
        }

        /// Whether an identity is in it.
        pub fn exists(tx: &mut Tx, channel: Key, member: Key) -> Result<bool> {
            let sql = concat!("SELECT 1 FROM ", $table, " WHERE channel = $1 AND member = $2");
            Ok(tx.row(sql, values![channel, member], |_| Ok(()))?.is_some())
        }

        /// Since when and by whom an identity is in this table of a channel, if it is.
        pub fn find(
            tx: &mut Tx,
            instance: &AppInstanceArn,
            channel: Key,
            member: &Identity,
        ) -> Result<Option<Appointment>> {
            let sql = concat!(
                "SELECT o.created_at, ",
                identity_columns!(i),
                " FROM ",
                $table,
                " o JOIN identity i ON i.key = o.created_by WHERE o.channel = $1 AND o.member = $2"
            );
            tx.row(sql, values![channel, member.key], |row| {
                let (created_at, created_by) = (row.read()?, identity(row, instance)?);
                Ok(Appointment { member: member.clone(), created_by, created_at })
            })
        }

        /// Up to `limit` of a channel after `after`, in the order of their keys.
        pub fn list(
            tx: &mut Tx,
            instance: &AppInstanceArn,
            channel: Key,
            after: Option<Key>,
            limit: i64,
        ) -> Result<Vec<Identity>> {
            let sql = concat!(
                "SELECT ",
                identity_columns!(i),
                " FROM ",
                $table,
                " o JOIN identity i ON i.key = o.member
                 WHERE o.channel = $1 AND $2 < o.member ORDER BY o.member LIMIT $3"
            );
            tx.rows(sql, values![channel, after.unwrap_or(Key([0; 16])), limit], |row| {
                identity(row, instance)
            })
        }

        /// How many a channel has, counting no further than `most`.
        pub fn count(tx: &mut Tx, channel: Key, most: i64) -> Result<i64> {
            let sql = concat!(
                "SELECT COUNT(*) FROM (SELECT 1 FROM ",
                $table,
                " WHERE channel = $1 LIMIT $2) AS counted"
            );
            Ok(tx.row(sql, values![channel, most], read)?.unwrap_or_default())
        }

        /// Takes someone out, where they are in it.
        pub fn delete(tx: &mut Tx, channel: Key, member: Key) -> Result<()> {
            let sql = concat!("DELETE FROM ", $table, " WHERE channel = $1 AND member = $2");
            tx.defer(sql, values![channel, member])
        }

        /// Takes up to `limit` rows of a deleted channel away; answers how many.
        pub fn delete_some(tx: &mut Tx, channel: Key, limit: i64) -> Result<u64> {
            let sql = concat!(
                "DELETE FROM ",
                $table,
                " WHERE channel = $1 AND member IN (SELECT member FROM ",
                $table,
                " WHERE channel = $1 LIMIT $2)"
            );
            tx.execute(sql, values![channel, limit])
        }
    };
}

pub(crate) use appointed;
