// go-binance: REST, a single stream and combined streams by its base URLs; tells what it heard as node/record.js does.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"sync"

	binance "github.com/adshao/go-binance/v2"
)

const (
	symbol       = "BTCUSDT"
	interval     = "1s"
	barsEnough   = 3
	pricesEnough = 3
)

type bar struct {
	OpenMs   int64     `json:"open_ms"`
	Prices   [4]string `json:"prices"`
	Volume   string    `json:"volume"`
	Closed   bool      `json:"closed"`
	Symbol   string    `json:"symbol"`
	Interval string    `json:"interval"`
	EventMs  int64     `json:"event_ms"`
	CloseMs  int64     `json:"close_ms"`
	Trades   int64     `json:"trades"`
}

type row struct {
	OpenMs int64     `json:"open_ms"`
	Prices [4]string `json:"prices"`
	Volume string    `json:"volume"`
}

type ticker struct {
	Symbol string `json:"symbol"`
	Last   string `json:"last"`
}

type record struct {
	Klines   []bar          `json:"klines"`
	Tickers  []ticker       `json:"tickers"`
	Rows     []row          `json:"rows"`
	More     map[string]any `json:"more"`
	Interval string         `json:"interval"`
}

func main() {
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(base string) error {
	binance.BaseAPIMainURL = "http://" + base
	binance.BaseWsMainURL = "ws://" + base + "/ws"
	binance.BaseCombinedMainURL = "ws://" + base + "/stream?streams="
	received := record{More: map[string]any{}, Interval: interval}
	if err := ask(&received); err != nil {
		return err
	}

	var lock sync.Mutex
	bars, prices, combined := map[int64]bool{}, map[string]bool{}, map[string]bool{}
	enough, failed := make(chan struct{}), make(chan error, 8)
	check := func() {
		if len(bars) >= barsEnough && len(prices) >= pricesEnough && len(combined) == 2 {
			select {
			case <-enough:
			default:
				close(enough)
			}
		}
	}
	fail := func(err error) { failed <- err }
	kline := func(event *binance.WsKlineEvent) {
		lock.Lock()
		defer lock.Unlock()
		k := event.Kline
		received.Klines = append(received.Klines, bar{
			k.StartTime, [4]string{k.Open, k.High, k.Low, k.Close}, k.Volume, k.IsFinal,
			k.Symbol, k.Interval, event.Time, k.EndTime, k.TradeNum,
		})
		if k.IsFinal {
			bars[k.StartTime] = true
		}
		check()
	}
	day := func(event *binance.WsMarketStatEvent) {
		lock.Lock()
		defer lock.Unlock()
		received.Tickers = append(received.Tickers, ticker{event.Symbol, event.LastPrice})
		prices[event.LastPrice] = true
		check()
	}
	both := func(event *binance.WsKlineEvent) {
		lock.Lock()
		defer lock.Unlock()
		combined[event.Symbol] = true
		check()
	}
	if _, _, err := binance.WsKlineServe(symbol, interval, kline, fail); err != nil {
		return err
	}
	if _, _, err := binance.WsMarketStatServe(symbol, day, fail); err != nil {
		return err
	}
	pairs := map[string]string{symbol: interval, "ETHUSDT": interval}
	if _, _, err := binance.WsCombinedKlineServe(pairs, both, fail); err != nil {
		return err
	}
	select {
	case <-enough:
	case err := <-failed:
		return err
	}
	lock.Lock()
	defer lock.Unlock()
	return json.NewEncoder(os.Stdout).Encode(received)
}

// ask requests over REST what bots request when they start.
func ask(received *record) error {
	client, background := binance.NewClient("", ""), context.Background()
	if err := client.NewPingService().Do(background); err != nil {
		return err
	}
	offset, err := client.NewSetServerTimeService().Do(background)
	if err != nil {
		return err
	}
	info, err := client.NewExchangeInfoService().Do(background)
	if err != nil {
		return err
	}
	symbols := []string{}
	for _, found := range info.Symbols {
		symbols = append(symbols, found.Symbol)
		if found.Symbol == symbol {
			received.More["tick"] = found.PriceFilter().TickSize
			received.More["notional"] = found.NotionalFilter().MinNotional
		}
	}
	klines, err := client.NewKlinesService().Symbol(symbol).Interval(interval).Limit(5).Do(background)
	if err != nil {
		return err
	}
	for _, k := range klines[:len(klines)-1] {
		received.Rows = append(received.Rows, row{k.OpenTime, [4]string{k.Open, k.High, k.Low, k.Close}, k.Volume})
	}
	price, err := client.NewListPricesService().Symbol(symbol).Do(background)
	if err != nil {
		return err
	}
	days, err := client.NewListPriceChangeStatsService().Do(background)
	if err != nil {
		return err
	}
	average, err := client.NewAveragePriceService().Symbol(symbol).Do(background)
	if err != nil {
		return err
	}
	received.More["offset_ms"] = offset
	received.More["symbols"] = symbols
	received.More["price"] = price[0].Price
	received.More["days"] = len(days)
	received.More["average"] = average.Price
	return nil
}
