// The conformance tests of h2spec against one server, as a program that takes what we need of it.
package main

import (
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/summerwind/h2spec"
	"github.com/summerwind/h2spec/config"
)

func main() {
	port := flag.Int("port", 0, "of the server at 127.0.0.1")
	report := flag.String("report", "", "file for the JUnit report")
	timeout := flag.Duration("timeout", 2*time.Second, "for what the server has to do")
	flag.Parse()
	_, err := h2spec.Run(&config.Config{
		Host: "127.0.0.1", Port: *port, Path: "/", Timeout: *timeout, MaxHeaderLen: 4000, JUnitReport: *report,
		Strict: true, Sections: flag.Args(),
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
