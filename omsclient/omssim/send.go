package omssim

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"
)

// sendWhole sends a document as OMS does.
func sendWhole(w http.ResponseWriter, _ *http.Request, document []byte) {
	announce(w, len(document))
	_, _ = w.Write(document) // if the client has gone, nobody needs the answer
}

// announce sends the headers of a body of some length.
func announce(w http.ResponseWriter, length int) {
	w.Header().Set("Content-Length", strconv.Itoa(length))
	w.WriteHeader(http.StatusOK)
}

const badGateway = "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n" +
	"<center><h1>502 Bad Gateway</h1></center>\r\n<hr><center>tengine</center>\r\n" +
	"</body>\r\n</html>\r\n"

// abort makes the HTTP server close the connection without an answer, or in the
// middle of one. It does not return.
func abort() {
	panic(http.ErrAbortHandler)
}

// stall sends what has been written, and nothing more until the client gives up.
func stall(w http.ResponseWriter, r *http.Request) {
	_ = http.NewResponseController(w).Flush()
	<-r.Context().Done()
	abort()
}

func status(code int) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

func answerHalf(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/html")
	w.Header().Set("Content-Length", strconv.Itoa(len(badGateway)))
	w.WriteHeader(http.StatusBadGateway)
	_, _ = io.WriteString(w, badGateway[:len(badGateway)/2])
	stall(w, r)
}

func answerEndlessly(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/html")
	w.WriteHeader(http.StatusInternalServerError)
	repeat(w, r, bytes.Repeat([]byte("<!-- padding -->"), 4096))
}

func sendEndlessly(w http.ResponseWriter, r *http.Request, document []byte) {
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(document)
	repeat(w, r, bytes.Repeat([]byte(" "), 64<<10))
}

// repeat sends something again and again until the client gives up.
func repeat(w http.ResponseWriter, r *http.Request, something []byte) {
	for pause(r.Context(), 10*time.Millisecond) {
		if _, err := w.Write(something); err != nil {
			break
		}
	}
	abort()
}

// sendCut announces the whole body, sends half of it and closes the connection.
func sendCut(w http.ResponseWriter, _ *http.Request, document []byte) {
	announce(w, len(document))
	_, _ = w.Write(document[:len(document)/2])
	_ = http.NewResponseController(w).Flush()
	abort()
}

// sendCutWithoutLength sends half of a body that ends with the connection.
func sendCutWithoutLength(w http.ResponseWriter, _ *http.Request, document []byte) {
	w.Header().Set("Transfer-Encoding", "identity") // net/http then sends no length and no chunks
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(document[:len(document)/2])
}

func sendStalled(w http.ResponseWriter, r *http.Request, document []byte) {
	announce(w, len(document))
	_, _ = w.Write(document[:len(document)/2])
	stall(w, r)
}

func sendSlowly(w http.ResponseWriter, r *http.Request, document []byte) {
	const (
		pieces = 50
		every  = 100 * time.Millisecond
	)
	announce(w, len(document))
	rest := bytes.NewBuffer(document)
	for rest.Len() > 0 {
		if !pause(r.Context(), every) {
			abort()
		}
		if _, err := w.Write(rest.Next(len(document)/pieces + 1)); err != nil {
			return
		}
		_ = http.NewResponseController(w).Flush()
	}
}

func sendAfterHints(w http.ResponseWriter, r *http.Request, document []byte) {
	for range 7 {
		w.WriteHeader(http.StatusEarlyHints)
	}
	sendWhole(w, r, document)
}

func hintEndlessly(w http.ResponseWriter, r *http.Request) {
	for pause(r.Context(), 100*time.Millisecond) {
		w.WriteHeader(http.StatusEarlyHints)
	}
	abort()
}

func sendGzip(w http.ResponseWriter, r *http.Request, document []byte) {
	if w.Header().Get("Content-Encoding") == "" { // else it is compressed already
		document = compress(document)
	}
	w.Header().Set("Content-Encoding", "gzip")
	sendWhole(w, r, document)
}

func sendGzipCut(w http.ResponseWriter, r *http.Request, document []byte) {
	w.Header().Set("Content-Encoding", "gzip")
	packed := compress(document)
	sendWhole(w, r, packed[:len(packed)/2])
}

// sendBomb makes use of that compressed documents can be appended to each other.
func sendBomb(w http.ResponseWriter, r *http.Request, document []byte) {
	w.Header().Set("Content-Encoding", "gzip")
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(compress(document))
	repeat(w, r, compress(bytes.Repeat([]byte(" "), 1<<20)))
}

func sendUnknownCoding(w http.ResponseWriter, r *http.Request, document []byte) {
	w.Header().Set("Content-Encoding", "br")
	coded := bytes.Clone(document)
	for i := range coded {
		coded[i] ^= 0xff // at least it is neither JSON nor gzip
	}
	sendWhole(w, r, coded)
}

// compress compresses a document with gzip.
func compress(document []byte) []byte {
	var out bytes.Buffer
	z, err := gzip.NewWriterLevel(&out, gzip.BestSpeed)
	if err != nil {
		panic(err) // the level is valid
	}
	_, _ = z.Write(document) // writing to a buffer does not fail
	_ = z.Close()
	return out.Bytes()
}

// A silent connection is given up after this time, if the client does not close it.
const silence = 5 * time.Minute

// switchProtocols lets the client believe that the connection is now for something
// else. A connection that does not allow that is closed.
func switchProtocols(w http.ResponseWriter, _ *http.Request) {
	conn, reader := takeOver(w, http.StatusSwitchingProtocols)
	_, _ = io.WriteString(conn,
		"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	_, _ = io.Copy(io.Discard, reader)
	_ = conn.Close()
}

// sendAndForget answers well, and ends the connection in this way as soon as
// something else comes over it, as a balancer does that has forgotten it.
func sendAndForget(end func(net.Conn)) func(http.ResponseWriter, *http.Request, []byte) {
	return func(w http.ResponseWriter, _ *http.Request, document []byte) {
		answer := http.Response{
			StatusCode: http.StatusOK, ProtoMajor: 1, ProtoMinor: 1, Header: w.Header(),
			ContentLength: int64(len(document)), Body: io.NopCloser(bytes.NewReader(document)),
		}
		conn, reader := takeOver(w, http.StatusOK)
		_ = answer.Write(conn)
		_, _ = reader.ReadByte()
		end(conn)
	}
}

// reset answers with a TCP reset.
func reset(w http.ResponseWriter, _ *http.Request) {
	conn, _ := takeOver(w, 0)
	resetConn(conn)
}

// takeOver takes a connection from the HTTP server, to answer with a status by hand.
// If that is not possible, it aborts.
func takeOver(w http.ResponseWriter, status int) (net.Conn, *bufio.Reader) {
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		abort()
	}
	if s, ok := w.(*statusWriter); ok {
		s.note(status)
	}
	_ = conn.SetDeadline(time.Now().Add(silence))
	return conn, buffered.Reader
}

func closeConn(conn net.Conn) { _ = conn.Close() }

// resetConn resets a TCP connection. Any other is closed.
func resetConn(conn net.Conn) {
	plain := conn
	if secured, ok := conn.(*tls.Conn); ok {
		plain = secured.NetConn()
	}
	if tcp, ok := plain.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = plain.Close()
}
