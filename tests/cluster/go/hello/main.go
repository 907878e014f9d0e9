// Hello is the example workload of tests and the demo: a small HTTP server that says where it runs.
//
//	/             its host name and the path that was asked for
//	/healthz      "ok"
//	/work?ms=N    keeps one core busy for N milliseconds (at most 60000), so that metering has something to see
//
// It listens on the port that PORT names, else 8080, and ends when it is told to.
package main

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"
)

const longestWork = 60_000

func main() {
	host, err := os.Hostname()
	if err != nil {
		log.Fatal(err)
	}
	port := os.Getenv("PORT")
	if port == "" {
		port = "8080"
	}
	http.HandleFunc("/", func(answer http.ResponseWriter, request *http.Request) {
		fmt.Fprintf(answer, "%s %s\n", host, request.URL.Path)
	})
	http.HandleFunc("/healthz", func(answer http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(answer, "ok")
	})
	http.HandleFunc("/work", work)

	server := &http.Server{Addr: ":" + port, ReadHeaderTimeout: 10 * time.Second}
	told, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	go func() {
		<-told.Done()
		_ = server.Shutdown(context.Background())
	}()
	log.Printf("%s listens on port %s", host, port)
	if err := server.ListenAndServe(); err != http.ErrServerClosed {
		log.Fatal(err)
	}
}

// work burns the time of one core, not of the clock: it spins until the time is over.
func work(answer http.ResponseWriter, request *http.Request) {
	millis, err := strconv.Atoi(request.URL.Query().Get("ms"))
	if err != nil || millis < 0 || millis > longestWork {
		http.Error(answer, fmt.Sprintf("ms must be a whole number from 0 to %d", longestWork), http.StatusBadRequest)
		return
	}
	end := time.Now().Add(time.Duration(millis) * time.Millisecond)
	rounds := 0
	for time.Now().Before(end) {
		rounds++
	}
	fmt.Fprintf(answer, "worked %d ms in %d rounds\n", millis, rounds)
}
