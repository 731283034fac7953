//! `segue access`.

use segue_serving::{check_access_file, new_access_key};
use serde_json::json;

use crate::args::{Access, AccessWhat};
use crate::console::Console;

pub(crate) fn run(args: &Access, console: &Console) -> anyhow::Result<()> {
    match &args.what {
        AccessWhat::NewKey { name, roles, expires } => {
            let made = new_access_key(name, roles, expires.as_deref())?;
            let machine = json!({ "key": made.key, "entry": made.entry });
            console.say("the key is shown this once; the other lines go into the access file");
            console.result(&machine, || format!("{}\n\n{}", made.key, made.entry));
        }
        AccessWhat::Check { file } => {
            check_access_file(file)?;
            let machine = json!({ "file": file, "good": true });
            console.result(&machine, || format!("{} is good", file.display()));
        }
    }
    Ok(())
}
