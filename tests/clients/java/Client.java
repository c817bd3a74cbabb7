import com.binance.connector.client.impl.SpotClientImpl;
import com.binance.connector.client.impl.WebSocketStreamClientImpl;
import com.binance.connector.client.impl.spot.Market;
import com.binance.connector.client.utils.websocketcallback.WebSocketFailureCallback;
import com.binance.connector.client.utils.websocketcallback.WebSocketMessageCallback;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import org.json.JSONArray;
import org.json.JSONObject;

/**
 * Binance's connector for Java: REST, single streams and combined streams by its base URLs; tells what it heard as
 * {@code node/record.js} does.
 */
public final class Client {
    private static final String SYMBOL = "BTCUSDT";
    private static final String INTERVAL = "1s";
    private static final int BARS_ENOUGH = 3;
    private static final int PRICES_ENOUGH = 3;

    private final List<JSONObject> klines = new ArrayList<>();
    private final List<JSONObject> tickers = new ArrayList<>();
    private final List<JSONObject> rows = new ArrayList<>();
    private final JSONObject more = new JSONObject();
    private final Set<Long> closed = new HashSet<>();
    private final Set<String> prices = new HashSet<>();
    private final Set<String> combined = new HashSet<>();

    public static void main(String[] arguments) throws Exception {
        Client client = new Client();
        client.ask("http://" + arguments[0]);
        client.listen("ws://" + arguments[0]);
        System.out.println(client.told());
        // The library's threads would keep the process for a while.
        System.exit(0);
    }

    /** Requests over REST what bots request when they start. */
    private void ask(String base) {
        Market market = new SpotClientImpl(base).createMarket();
        more.put("pong", new JSONObject(market.ping()));
        long serverMs = new JSONObject(market.time()).getLong("serverTime");
        more.put("offset_ms", serverMs - System.currentTimeMillis());
        more.put("symbols", names(new JSONObject(market.exchangeInfo(given()))));
        ArrayList<String> two = new ArrayList<>(List.of("ETHUSDT", SYMBOL));
        more.put("asked", names(new JSONObject(market.exchangeInfo(given("symbols", two)))));
        JSONArray past = new JSONArray(market.klines(given("symbol", SYMBOL, "interval", INTERVAL, "limit", 5)));
        // The last one is still forming.
        for (int i = 0; i < past.length() - 1; i++) {
            JSONArray row = past.getJSONArray(i);
            List<Object> four = List.of(row.get(1), row.get(2), row.get(3), row.get(4));
            rows.add(kline(row.getLong(0), four, row.getString(5)));
        }
        more.put("price", new JSONObject(market.tickerSymbol(given("symbol", SYMBOL))).getString("price"));
        more.put("day", new JSONObject(market.ticker24H(given("symbol", SYMBOL))).getString("lastPrice"));
        more.put("days", new JSONArray(market.ticker24H(given())).length());
        more.put("average", new JSONObject(market.averagePrice(given("symbol", SYMBOL))).getString("price"));
        try {
            market.klines(given("symbol", "NOSUCHPAIR", "interval", INTERVAL));
        } catch (com.binance.connector.client.exceptions.BinanceClientException error) {
            more.put("refused", new JSONArray(List.of(error.getHttpStatusCode(), error.getErrorCode())));
        }
    }

    /** Reads streams until enough has come. Throws what ended one of them. */
    private void listen(String base) throws Exception {
        BlockingQueue<Object> heard = new LinkedBlockingQueue<>();
        WebSocketMessageCallback message = heard::add;
        WebSocketFailureCallback failure = (error, response) -> heard.add(error);
        WebSocketStreamClientImpl streams = new WebSocketStreamClientImpl(base);
        streams.klineStream(SYMBOL, INTERVAL, response -> { }, message, (c, r) -> { }, (c, r) -> { }, failure);
        streams.symbolTicker(SYMBOL, response -> { }, message, (c, r) -> { }, (c, r) -> { }, failure);
        ArrayList<String> both = new ArrayList<>(List.of("btcusdt@kline_" + INTERVAL, "ethusdt@miniTicker"));
        streams.combineStreams(both, response -> { }, message, (c, r) -> { }, (c, r) -> { }, failure);
        while (closed.size() < BARS_ENOUGH || prices.size() < PRICES_ENOUGH || combined.size() < both.size()) {
            Object next = heard.take();
            if (next instanceof Throwable error) {
                throw new IllegalStateException(error);
            }
            take(new JSONObject((String) next));
        }
        streams.closeAllConnections();
    }

    private void take(JSONObject event) {
        if (event.has("stream")) {
            combined.add(event.getString("stream") + " " + event.getJSONObject("data").getString("s"));
            return;
        }
        switch (event.getString("e")) {
            case "kline" -> {
                JSONObject k = event.getJSONObject("k");
                long openMs = k.getLong("t");
                List<Object> four = List.of(k.get("o"), k.get("h"), k.get("l"), k.get("c"));
                klines.add(kline(openMs, four, k.getString("v")).put("closed", k.getBoolean("x"))
                    .put("symbol", k.getString("s")).put("interval", k.getString("i"))
                    .put("event_ms", event.getLong("E")).put("close_ms", k.getLong("T")).put("trades", k.getLong("n")));
                if (k.getBoolean("x")) {
                    closed.add(openMs);
                }
            }
            case "24hrTicker" -> {
                tickers.add(new JSONObject().put("symbol", event.getString("s")).put("last", event.getString("c")));
                prices.add(event.getString("c"));
            }
            default -> throw new IllegalStateException("unexpected event " + event);
        }
    }

    private JSONObject told() {
        more.put("combined", combined);
        return new JSONObject().put("klines", klines).put("tickers", tickers).put("rows", rows).put("more", more)
            .put("interval", INTERVAL);
    }

    private static JSONObject kline(long openMs, List<Object> four, String volume) {
        return new JSONObject().put("open_ms", openMs).put("prices", four).put("volume", volume);
    }

    /** Parameters in a map of their own: the library writes into the map that it is given. */
    private static Map<String, Object> given(Object... namesAndValues) {
        Map<String, Object> map = new LinkedHashMap<>();
        for (int i = 0; i < namesAndValues.length; i += 2) {
            map.put((String) namesAndValues[i], namesAndValues[i + 1]);
        }
        return map;
    }

    private static List<String> names(JSONObject info) {
        List<String> names = new ArrayList<>();
        info.getJSONArray("symbols").forEach(symbol -> names.add(((JSONObject) symbol).getString("symbol")));
        return names;
    }
}
