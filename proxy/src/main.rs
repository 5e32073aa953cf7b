//! The command.

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let path = std::path::PathBuf::from(&arguments[arguments.len() - 1]);
    let loaded = ftpsgate::config::load(&path).unwrap_or_else(|found| {
        eprintln!("{}", found.render(false));
        std::process::exit(78)
    });
    if arguments[1] == "ca" {
        let authority = ftpsgate_certs::Authority::open_or_create(&loaded.config.gateway.state_dir);
        return print!("{}", authority.expect("the CA opens").root_pem());
    }
    tracing_subscriber::fmt().json().flatten_event(true).with_writer(std::io::stderr).init();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let source: ftpsgate::daemon::Source = Box::new(move || ftpsgate::config::load(&path));
    let inherited = ftpsgate::inherited::take_sockets().expect("sockets");
    let result =
        runtime.block_on(ftpsgate::daemon::serve(loaded.config, Some(source), inherited, async |_| {}));
    if let Err(error) = result {
        tracing::error!("{error}");
        std::process::exit(1);
    }
}
