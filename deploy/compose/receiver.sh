#!/bin/sh
# Answers one HTTP request on standard input with 200, and logs it: the receiver of compose.yaml. It
# needs only a shell and head.
read -r method path _
length=0
while IFS= read -r line; do
  line=${line%"$(printf '\r')"}
  [ -n "$line" ] || break
  case "$line" in
    [Cc]ontent-[Ll]ength:*) length=${line#*: } ;;
  esac
done
{
  printf '%s %s ' "$method" "$path"
  head -c "$length"
  echo
} >&2
printf 'HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok'
