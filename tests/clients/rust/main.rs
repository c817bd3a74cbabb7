//! The crate `binance`: REST, single streams and a combined one by its `Config`; tells what it heard as
//! `node/record.js` does.

use std::collections::HashSet;
use std::error::Error;
use std::sync::mpsc::{channel, Sender};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use binance::api::Binance;
use binance::config::Config;
use binance::errors::{ErrorKind, Result as Answer};
use binance::general::General;
use binance::market::Market;
use binance::model::{DayTickerEvent, Filters, KlineEvent, KlineSummaries};
use binance::websockets::{WebSockets, WebsocketEvent};
use serde_json::{json, Value};

const SYMBOL: &str = "BTCUSDT";
const INTERVAL: &str = "1s";
const ROWS: u16 = 5;
const BARS_ENOUGH: usize = 3;
const PRICES_ENOUGH: usize = 3;

/// What a stream's thread tells.
enum Heard {
    Kline(KlineEvent),
    Ticker(DayTickerEvent),
    /// The symbol of an event of the combined stream.
    Combined(String),
    /// The stream has ended, and why.
    Failed(String),
}

/// What is printed at the end.
#[derive(Default)]
struct Record {
    klines: Vec<Value>,
    tickers: Vec<Value>,
    closed: HashSet<i64>,
    prices: HashSet<String>,
    combined: HashSet<String>,
}

impl Record {
    fn take(&mut self, heard: Heard) -> Result<(), String> {
        match heard {
            Heard::Kline(event) => {
                let k = event.kline;
                self.klines.push(json!({
                    "open_ms": k.open_time, "prices": [k.open, k.high, k.low, k.close], "volume": k.volume,
                    "closed": k.is_final_bar, "symbol": k.symbol, "interval": k.interval,
                    "event_ms": event.event_time, "close_ms": k.close_time, "trades": k.number_of_trades,
                }));
                if k.is_final_bar {
                    self.closed.insert(k.open_time);
                }
            }
            Heard::Ticker(event) => {
                self.tickers
                    .push(json!({"symbol": event.symbol, "last": event.current_close}));
                self.prices.insert(event.current_close);
            }
            Heard::Combined(symbol) => {
                self.combined.insert(symbol);
            }
            Heard::Failed(why) => return Err(why),
        }
        Ok(())
    }

    fn enough(&self) -> bool {
        self.closed.len() >= BARS_ENOUGH
            && self.prices.len() >= PRICES_ENOUGH
            && self.combined.len() == 2
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let base = std::env::args()
        .nth(1)
        .ok_or("the gateway's host:port is missing")?;
    let rest = Config::default().set_rest_api_endpoint(format!("http://{base}"));
    let (rows, more) = ask(&rest)?;

    let single = Config::default().set_ws_endpoint(format!("ws://{base}/ws"));
    let combined = Config::default().set_ws_endpoint(format!("ws://{base}"));
    let (sender, heard) = channel();
    listen(
        &single,
        format!("btcusdt@kline_{INTERVAL}"),
        &sender,
        one_of,
    );
    listen(&single, "btcusdt@ticker".to_string(), &sender, one_of);
    let both = format!("stream?streams=btcusdt@kline_{INTERVAL}/ethusdt@kline_{INTERVAL}");
    listen(&combined, both, &sender, |event| match event {
        WebsocketEvent::Kline(event) => Some(Heard::Combined(event.symbol)),
        _ => None,
    });

    let mut record = Record::default();
    while !record.enough() {
        record.take(heard.recv()?)?;
    }
    let told = json!({
        "klines": record.klines, "tickers": record.tickers, "rows": rows, "more": more, "interval": INTERVAL,
    });
    println!("{told}");
    Ok(())
}

fn one_of(event: WebsocketEvent) -> Option<Heard> {
    match event {
        WebsocketEvent::Kline(event) => Some(Heard::Kline(event)),
        WebsocketEvent::DayTicker(event) => Some(Heard::Ticker(event)),
        _ => None,
    }
}

/// Read a stream in a thread of its own until the program ends.
fn listen(
    config: &Config,
    stream: String,
    sender: &Sender<Heard>,
    choose: fn(WebsocketEvent) -> Option<Heard>,
) {
    let (config, sender) = (config.clone(), sender.clone());
    thread::spawn(move || {
        let told = sender.clone();
        let mut socket = WebSockets::new(move |event| {
            if let Some(heard) = choose(event) {
                // Nobody listens any more when there is enough.
                let _ = told.send(heard);
            }
            Ok(())
        });
        let running = true.into();
        let ended = socket
            .connect_with_config(&stream, &config)
            .and_then(|()| socket.event_loop(&running));
        let _ = sender.send(Heard::Failed(format!("{stream}: {ended:?}")));
    });
}

/// Request over REST what bots request when they start: past klines, and what else is worth a look.
fn ask(config: &Config) -> Answer<(Vec<Value>, Value)> {
    let general = General::new_with_config(None, None, config);
    let market = Market::new_with_config(None, None, config);
    general.ping()?;
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis() as i64;
    let offset_ms = general.get_server_time()?.server_time as i64 - now_ms;
    let info = general.exchange_info()?;
    let symbols: Vec<&str> = info
        .symbols
        .iter()
        .map(|symbol| symbol.symbol.as_str())
        .collect();
    let mut tick = None;
    for filter in general.get_symbol_info(SYMBOL)?.filters {
        if let Filters::PriceFilter { tick_size, .. } = filter {
            tick = Some(tick_size);
        }
    }
    let KlineSummaries::AllKlineSummaries(mut klines) =
        market.get_klines(SYMBOL, INTERVAL, ROWS, None, None)?;
    // The last one is still forming.
    klines.pop();
    let rows = klines
        .into_iter()
        .map(|k| json!({"open_ms": k.open_time, "prices": [k.open, k.high, k.low, k.close], "volume": k.volume}))
        .collect();
    let more = json!({
        "offset_ms": offset_ms,
        "symbols": symbols,
        "tick": tick,
        "price": market.get_price(SYMBOL)?.price.to_string(),
        "day": market.get_24h_price_stats(SYMBOL)?.last_price.to_string(),
        "days": market.get_all_24h_price_stats()?.len(),
        "average": market.get_average_price(SYMBOL)?.price.to_string(),
    "refused": refused(&market),
    });
    Ok((rows, more))
}

/// The code with which the gateway refuses a symbol that it has not.
fn refused(market: &Market) -> Option<i16> {
    match market.get_klines("NOSUCHPAIR", INTERVAL, ROWS, None, None) {
        Err(binance::errors::Error(ErrorKind::BinanceError(error), _)) => Some(error.code),
        _ => None,
    }
}
