#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 The backingstore authors

"""A server that speaks S3, in memory, and does to requests what networks do.

It verifies each signature and MD5 with code of its own, and respects conditions as servers
do: for PUT, and neither for DELETE nor for copies. With --upstream=HOST:PORT it is a proxy
instead, and only does the damage.

The port is the first line of the output; with --certificate=FILE a second port is that for
commands, without TLS. The server ends with its standard input. A POST to /_control takes a
list of JSON, one object for each command:

    {"fault": ACTION, "method": M, "key": REGEX, "nth": N, "times": T}
    {"clear": true}, {"advance": SECONDS}, {"deliver": true}, {"chaos": SEED or null}
    {"set": KEY, "body": TEXT}, {"remove": KEY}, {"quirk": NAME, "value": V}
    {"begin": KEY}: an upload
    {"spoil": KEY}: changes a byte, and the second time changes it back
    {"await": "hit"}: the answer comes after a fault has met its request
    {"await": "calm"}: the answer comes when no other server works at a request
    {"hang-up": true}: connections that stall end

An ACTION may be a status, with or without the code of an error and a Retry-After behind it;
200 alone is a success that has changed nothing. `gather N` keeps requests until N of them are
there. The server answers with the counts of requests, which of them came by a proxy at
127.0.0.2 too, and what is stored. Before another server, `advance` makes that one's clock seem
ahead, and what is stored is asked for by requests of the proxy's own. On SIGUSR1 it prints
which requests it has not answered yet.
"""

import argparse
import asyncio
import base64
import contextlib
import email.utils
import hashlib
import hmac
import itertools
import json
import os
import random
import re
import signal
import ssl
import sys
import time
import urllib.parse
import zlib
from xml.sax.saxutils import escape

SECRET = 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY'
ID = 'AKIAIOSFODNN7EXAMPLE'
PAGE = 1000


def sign(method, path, query, headers, payload, scope):
    """The signature of a request whose signed headers are these, in order of their names."""
    lines = ''.join(f'{name}:{value.strip()}\n' for name, value in headers.items())
    text = '\n'.join([method, path, query, lines, ';'.join(headers), payload])
    text = '\n'.join(['AWS4-HMAC-SHA256', headers['x-amz-date'], scope, hashlib.sha256(text.encode()).hexdigest()])
    key = ('AWS4' + SECRET).encode()
    for part in scope.split('/') + [text]:
        key = hmac.new(key, part.encode(), 'sha256').digest()
    return key.hex()


class Request:
    def __init__(self, method, target, headers, body):
        self.method, self.target, self.headers, self.body = method, target, headers, body
        path, _, query = target.partition('?')
        self.path, self.raw_query = path, query
        self.query = dict(urllib.parse.parse_qsl(query, keep_blank_values=True))
        self.key = urllib.parse.unquote(path.lstrip('/')).partition('/')[2]

    def kind(self):
        if self.method == 'GET' and 'list-type' in self.query:
            return 'LIST'
        if self.method == 'GET' and 'uploads' in self.query:
            return 'UPLOADS'
        if self.method == 'POST' and 'delete' in self.query:
            return 'DELETE-MANY'
        if 'x-amz-copy-source' in self.headers and 'uploadId' not in self.query:
            return 'COPY'
        if self.method in ('PUT', 'POST') and 'uploadId' in self.query or 'uploads' in self.query:
            return 'PART'
        return self.method


class Answer:
    def __init__(self, status, body=b'', headers=None, length=None):
        self.status, self.body, self.headers = status, body, headers or {}
        self.length = len(body) if length is None else length


def failure(status, code):
    return Answer(status, f'<Error><Code>{code}</Code><Message>of the test</Message></Error>'.encode())


class Parts:
    """A body that was put in parts; those that are mostly holes are packed, so that large ones fit into memory."""

    def __init__(self, parts):
        self.parts = parts
        self.starts = list(itertools.accumulate((size for _, size, _ in parts), initial=0))
        self.digest = hashlib.md5(b''.join(digest for _, _, digest in parts))

    @staticmethod
    def pack(body):
        packed = zlib.compress(body, 1) if body.count(0) > len(body) // 2 else body
        return packed, len(body), hashlib.md5(body).digest()

    def __len__(self):
        return self.starts[-1]

    def __getitem__(self, piece):
        first, last, _ = piece.indices(len(self))
        body = b''
        for start, (packed, size, _) in zip(self.starts, self.parts):
            if start < last and start + size > first:
                part = packed if len(packed) == size else zlib.decompress(packed)
                body += part[max(first - start, 0):last - start]
        return body


class Object:
    def __init__(self, body, meta, modified):
        self.body, self.meta, self.modified = body, meta, modified
        digest = body.digest if isinstance(body, Parts) else hashlib.md5(body)
        self.etag = '"' + digest.hexdigest() + '"'


class Store:
    """The objects of a server, and what it does at once."""

    def __init__(self):
        self.objects, self.uploads = {}, {}
        self.ahead, self.quirks = 0, {}

    def now(self):
        return time.time() + self.ahead

    def signature_error(self, request):
        authorization = request.headers.get('authorization', '')
        match = re.fullmatch(r'AWS4-HMAC-SHA256 Credential=([^/]+)/(\d+)/([^/]+)/s3/aws4_request,'
                             r'SignedHeaders=([^,]+),Signature=(\w+)', authorization)
        if not match or match[1] != ID:
            return failure(403, 'InvalidAccessKeyId')
        _, date, region, names, signature = match.groups()
        stamp = request.headers['x-amz-date']
        sent = time.mktime(time.strptime(stamp, '%Y%m%dT%H%M%SZ')) - time.timezone
        if abs(sent - self.now()) > 900:
            return failure(403, 'RequestTimeTooSkewed')
        payload = request.headers['x-amz-content-sha256']
        if payload != 'UNSIGNED-PAYLOAD' and payload != hashlib.sha256(request.body).hexdigest():
            return failure(400, 'XAmzContentSHA256Mismatch')
        query = '&'.join('='.join(urllib.parse.quote(part, safe='-._~') for part in pair) for pair in
                         sorted(urllib.parse.parse_qsl(request.raw_query, keep_blank_values=True)))
        path = urllib.parse.quote(urllib.parse.unquote(request.path), safe='/-._~')
        headers = {name: request.headers[name] for name in names.split(';')}
        expected = sign(request.method, path, query, headers, payload, f'{date}/{region}/s3/aws4_request')
        token = self.quirks.get('token')
        if token and request.headers.get('x-amz-security-token') != token:
            return failure(403, 'ExpiredToken')
        return None if expected == signature else failure(403, 'SignatureDoesNotMatch')

    def handle(self, request):
        return self.signature_error(request) or self.carry_out(request)

    def carry_out(self, request):
        md5 = request.headers.get('content-md5')
        if md5 and base64.b64encode(hashlib.md5(request.body).digest()).decode() != md5:
            return failure(400, 'BadDigest')
        if not md5 and request.method == 'PUT' and 'x-amz-copy-source' not in request.headers:
            return failure(400, 'MissingContentMD5')
        if request.method == 'PUT' and self.quirks.get('read-only'):
            return failure(403, 'AccessDenied')
        return getattr(self, 'do_' + request.kind().lower().replace('-', '_'))(request)

    async def describe(self):
        return sorted(self.objects), len(self.uploads)

    def condition_error(self, request):
        there = self.objects.get(request.key)
        wanted = request.headers.get('if-match')
        if self.quirks.get('ignores-conditions'):
            return None
        if self.quirks.get('refuses-conditions') and (wanted or 'if-none-match' in request.headers):
            return failure(501, 'NotImplemented')
        if request.headers.get('if-none-match') == '*' and there:
            return failure(412, 'PreconditionFailed')
        if wanted is None:
            return None
        if there is None:
            return failure(404, 'NoSuchKey')
        etag = there.etag.strip('"') if self.quirks.get('unquoted') else there.etag
        return None if wanted == etag else failure(412, 'PreconditionFailed')

    def do_put(self, request):
        problem = self.condition_error(request)
        if problem:
            return problem
        meta = request.headers.get('x-amz-meta-backingstore')
        self.objects[request.key] = Object(request.body, meta, self.now())
        return Answer(200, b'', {'ETag': self.objects[request.key].etag})

    def do_copy(self, request):
        source = urllib.parse.unquote(request.headers['x-amz-copy-source']).lstrip('/').partition('/')[2]
        if source not in self.objects:
            return failure(404, 'NoSuchKey')
        there = self.objects[source]
        if len(there.body) > 5 << 30:
            return failure(400, 'InvalidRequest')
        self.objects[request.key] = Object(there.body, there.meta, self.now())
        return Answer(200, f'<CopyObjectResult><ETag>{escape(there.etag)}</ETag></CopyObjectResult>'.encode())

    def do_get(self, request):
        there = self.objects.get(request.key)
        if there is None:
            return failure(404, 'NoSuchKey')
        headers = {'ETag': there.etag, 'Last-Modified': email.utils.formatdate(int(there.modified), usegmt=True)}
        if there.meta:
            headers['x-amz-meta-backingstore'] = there.meta
        wanted = re.fullmatch(r'bytes=(\d+)-(\d+)', request.headers.get('range', ''))
        if request.method == 'HEAD':
            return Answer(200, b'', headers, len(there.body))
        if not wanted or self.quirks.get('ignores-ranges'):
            return Answer(200, there.body[:], headers)
        first, last = int(wanted[1]), min(int(wanted[2]), len(there.body) - 1)
        if first > 0:
            shift = self.quirks.get('shifts-ranges', 0)
            first, last = first - shift, last - shift
        if first >= len(there.body):
            return failure(416, 'InvalidRange')
        headers['Content-Range'] = f'bytes {first}-{last}/{len(there.body)}'
        return Answer(206, there.body[first:last + 1], headers)

    do_head = do_get

    def do_delete(self, request):
        if 'uploadId' in request.query:
            self.uploads.pop(request.query['uploadId'], None)
        else:
            self.objects.pop(request.key, None)
        return Answer(204)

    def do_delete_many(self, request):
        names = re.findall(rb'<Key>(.*?)</Key>', request.body)
        if len(names) > PAGE:
            return failure(400, 'MalformedXML')
        refused = self.quirks.get('keeps')
        answer = ''
        for name in names:
            name = name.decode()
            if refused and re.search(refused, name):
                answer += f'<Error><Key>{name}</Key><Code>AccessDenied</Code></Error>'
                continue
            self.objects.pop(name, None)
            answer += f'<Deleted><Key>{name}</Key></Deleted>'
        return Answer(200, f'<DeleteResult>{answer}</DeleteResult>'.encode())

    def do_list(self, request):
        prefix, after = request.query.get('prefix', ''), request.query.get('start-after', '')
        if self.quirks.get('begins-anew'):
            after = ''
        delimiter = request.query.get('delimiter')
        names = sorted(name for name in self.objects if name.startswith(prefix) and name > after)
        if delimiter:
            cut = [prefix + name[len(prefix):].partition(delimiter)[0] + delimiter
                   if delimiter in name[len(prefix):] else name for name in names]
            names = sorted(set(cut))
        page, text = names[:PAGE], ''
        for name in page:
            if delimiter and name.endswith(delimiter):
                text += f'<CommonPrefixes><Prefix>{escape(name)}</Prefix></CommonPrefixes>'
            else:
                text += f'<Contents><Key>{escape(name)}</Key><Size>{len(self.objects[name].body)}</Size></Contents>'
        truncated = 'true' if len(names) > PAGE else 'false'
        return Answer(200, f'<ListBucketResult><IsTruncated>{truncated}</IsTruncated>{text}</ListBucketResult>'.encode())

    def do_uploads(self, request):
        size = self.quirks.get('page', PAGE)
        after = request.query.get('key-marker', ''), request.query.get('upload-id-marker', '')
        there = sorted((key, upload, begun) for upload, (key, _, _, begun) in self.uploads.items()
                       if key.startswith(request.query.get('prefix', '')) and (key, upload) > after)
        text = ''.join(
            f'<Upload><Key>{escape(key)}</Key><UploadId>{upload}</UploadId>'
            f'<Initiated>{time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(begun))}</Initiated></Upload>'
            for key, upload, begun in there[:size])
        if len(there) > size:
            key, upload, _ = there[size - 1]
            text += (f'<NextKeyMarker>{escape(key)}</NextKeyMarker><NextUploadIdMarker>{upload}</NextUploadIdMarker>'
                     '<IsTruncated>true</IsTruncated>')
        return Answer(200, f'<ListMultipartUploadsResult>{text}</ListMultipartUploadsResult>'.encode())

    def do_part(self, request):
        if 'uploads' in request.query:
            upload = f'{random.getrandbits(64):x}+/='
            meta = request.headers.get('x-amz-meta-backingstore')
            self.uploads[upload] = (request.key, meta, {}, self.now())
            return Answer(200, f'<R><UploadId>{upload}</UploadId></R>'.encode())
        upload = self.uploads.get(request.query['uploadId'])
        if upload is None:
            return failure(404, 'NoSuchUpload')
        key, meta, parts, _ = upload
        copies = not self.quirks.get('copies-no-parts')
        if request.method == 'PUT' and 'x-amz-copy-source' in request.headers and copies:
            source = urllib.parse.unquote(request.headers['x-amz-copy-source']).lstrip('/').partition('/')[2]
            first, last = map(int, re.fullmatch(r'bytes=(\d+)-(\d+)', request.headers['x-amz-copy-source-range']).groups())
            part = parts[int(request.query['partNumber'])] = Parts.pack(self.objects[source].body[first:last + 1])
            return Answer(200, f'<CopyPartResult><ETag>"{part[2].hex()}"</ETag></CopyPartResult>'.encode())
        if request.method == 'PUT':
            part = parts[int(request.query['partNumber'])] = Parts.pack(request.body)
            return Answer(200, b'', {'ETag': '"' + part[2].hex() + '"'})
        body = Parts([parts[number] for number in sorted(parts)])
        self.objects[key] = Object(body, meta, self.now())
        del self.uploads[request.query['uploadId']]
        return Answer(200, b'<R><ETag>x</ETag></R>')


class Upstream:
    """Another server, as a store."""

    def __init__(self, address):
        self.host, self.port = address.split(':')
        self.ahead, self.quirks = 0, {}

    async def forward(self, request):
        """By a connection of its own, since the server may close an idle one at any time."""
        reader, writer = await asyncio.open_connection(self.host, self.port)
        with contextlib.closing(writer):
            headers = ''.join(f'{name}: {value}\r\n' for name, value in request.headers.items())
            writer.write(f'{request.method} {request.target} HTTP/1.1\r\n{headers}\r\n'.encode() + request.body)
            await writer.drain()
            status, fields = await read_head(reader)
            size = int(fields.get('content-length', 0))
            body = b'' if request.method == 'HEAD' or status[1] == '204' else await read_body(reader, fields, size)
        kept = {name: value for name, value in fields.items()
                if name in ('etag', 'last-modified', 'content-range', 'x-amz-meta-backingstore')}
        date = email.utils.parsedate_to_datetime(fields['date']).timestamp() + self.ahead
        kept['Date'] = email.utils.formatdate(date, usegmt=True)
        return Answer(int(status[1]), body, kept, size if request.method == 'HEAD' else None)

    async def ask(self, query):
        """A list of the bucket."""
        stamp = time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())
        scope = f'{stamp[:8]}/us-east-1/s3/aws4_request'
        headers = {'host': f'{self.host}:{self.port}', 'x-amz-content-sha256': 'UNSIGNED-PAYLOAD', 'x-amz-date': stamp}
        signature = sign('GET', '/bucket', query, headers, 'UNSIGNED-PAYLOAD', scope)
        headers['authorization'] = (f'AWS4-HMAC-SHA256 Credential={ID}/{scope},'
                                    f'SignedHeaders={";".join(headers)},Signature={signature}')
        return (await self.forward(Request('GET', f'/bucket?{query}', headers, b''))).body.decode()

    async def describe(self):
        names, text = [], '<IsTruncated>true'
        while '<IsTruncated>true' in text:
            after = urllib.parse.quote(names[-1], safe='-._~') if names else ''
            text = await self.ask(f'list-type=2&start-after={after}')
            names += re.findall('<Key>(.*?)</Key>', text)
        return names, (await self.ask('uploads=')).count('<UploadId>')


async def read_body(reader, fields, size):
    if fields.get('transfer-encoding') != 'chunked':
        return await reader.readexactly(size)
    body = b''
    while True:
        n = int(await reader.readline(), 16)
        body += await reader.readexactly(n)
        await reader.readline()
        if n == 0:
            return body


async def read_head(reader):
    first = (await reader.readline()).decode('latin-1').split()
    if not first:
        raise EOFError
    headers = {}
    while True:
        line = (await reader.readline()).decode('latin-1').strip()
        if not line:
            return first, headers
        name, _, value = line.partition(':')
        headers[name.lower()] = value.strip()


class Server:
    def __init__(self, store):
        self.store = store
        self.faults, self.late, self.counts = [], [], {}
        self.redirected = 0
        self.chaos = None
        self.hit, self.hung_up = asyncio.Event(), asyncio.Event()
        self.gathered, self.n_gathered = asyncio.Event(), 0
        self.unanswered = []
        self.tasks = set()
        self.n_forwarded = 0

    async def forward(self, request):
        self.n_forwarded += 1
        try:
            return await self.store.forward(request)
        finally:
            self.n_forwarded -= 1

    async def perform(self, request):
        if isinstance(self.store, Upstream):
            return await self.forward(request)
        return self.store.handle(request)

    def pick_fault(self, request):
        for fault in self.faults:
            if fault.get('method', request.kind()) != request.kind() or \
                    not re.search(fault.get('key', ''), request.key):
                continue
            fault['seen'] = fault.get('seen', 0) + 1
            nth, times = fault.get('nth', 1), fault.get('times', 1)
            if nth <= fault['seen'] < nth + times:
                return fault['fault']
        return self.pick_chaos(request) if self.chaos else None

    def pick_chaos(self, request):
        """Mostly nothing; a PUT of the root and a deletion are hit most."""
        hot = request.key.endswith('root') or request.kind().startswith('DELETE')
        chance = self.chaos.random()
        if chance > (0.4 if hot else 0.1):
            return None
        changes = request.method not in ('GET', 'HEAD')
        return self.chaos.choice(['503', 'reset-before', 'reset-after'] + (['late', 'twice'] * 2 if changes else []))

    async def serve(self, reader, writer):
        # The loop forgets a task whose client has gone, whatever the task waits for.
        self.tasks.add(asyncio.current_task())
        try:
            while True:
                (method, target, _), headers = await read_head(reader)
                body = await reader.readexactly(int(headers.get('content-length', 0)))
                if target == '/_control':
                    self.write(writer, Answer(200, await self.control(body)), method)
                elif target.startswith('/elsewhere'):
                    self.redirected += 1
                    self.write(writer, Answer(200), method)
                elif not await self.note(Request(method, target, headers, body), writer):
                    break
                await writer.drain()
                if headers.get('connection', '').lower() == 'close':
                    break
        except (EOFError, ConnectionError, asyncio.IncompleteReadError, ValueError):
            pass
        finally:
            self.tasks.discard(asyncio.current_task())
            writer.close()

    def write(self, writer, answer, method, length=None, body=None):
        body = answer.body if body is None else body
        length = answer.length if length is None else length
        headers = {'Date': email.utils.formatdate(self.store.now() if isinstance(self.store, Store) else None,
                                                  usegmt=True)} | answer.headers
        text = ''.join(f'{name}: {value}\r\n' for name, value in headers.items())
        writer.write(f'HTTP/1.1 {answer.status} X\r\n{text}Content-Length: {length}\r\n\r\n'.encode())
        if method != 'HEAD':
            writer.write(body)

    async def note(self, request, writer):
        self.unanswered.append(request)
        try:
            return await self.answer(request, writer)
        finally:
            self.unanswered.remove(request)

    def report(self):
        requests = ', '.join(f'{request.kind()} {request.key}' for request in self.unanswered)
        print(f'# server: {self.counts}, {len(self.late)} late, not answered: {requests}', file=sys.stderr, flush=True)

    async def answer(self, request, writer):
        """Returns whether the connection stays."""
        kind = request.kind()
        self.counts[kind] = self.counts.get(kind, 0) + 1
        self.counts['all'] = self.counts.get('all', 0) + 1
        if writer.get_extra_info('peername')[0] == '127.0.0.2':
            self.counts['via'] = self.counts.get('via', 0) + 1
        fault = self.pick_fault(request)
        if fault:
            self.counts['hit'] = self.counts.get('hit', 0) + 1
            self.hit.set()
        if self.chaos:
            # Others may come before.
            for _ in range(self.chaos.randrange(4)):
                await asyncio.sleep(0)
            if self.late and self.chaos.random() < 0.1:
                await self.deliver(self.chaos.randrange(len(self.late)))
        if fault and fault.startswith('gather '):
            await self.gather(int(fault.split()[1]))
        if fault and fault[0].isdigit():
            status, code, after = (fault.split(' ', 2) + ['', ''])[:3]
            code = code or {'403': 'AccessDenied', '400': 'InvalidRequest'}.get(status, 'SlowDown')
            answer = Answer(200) if fault == '200' else failure(int(status), code)
            if after:
                answer.headers['Retry-After'] = after
            self.write(writer, answer, request.method)
            return True
        if fault == 'reset-before':
            writer.transport.abort()
            return False
        if fault == 'deliver':
            while self.late:
                await self.deliver(0)
        if fault == 'stall-late':
            self.late.append(request)
        if fault in ('stall', 'stall-late'):
            return await self.stall(writer)
        if fault == 'redirect':
            self.write(writer, Answer(307, b'', {'Location': '/elsewhere'}), request.method)
            return True
        if fault == 'late':
            self.late.append(request)
            writer.transport.abort()
            return False
        answer = await self.perform(request)
        if fault == 'twice':
            self.late.append(request)
        if fault == 'reset-after':
            writer.transport.abort()
            return False
        if fault == 'stall-after':
            return await self.stall(writer)
        body = answer.body
        if fault == 'truncate':
            self.write(writer, answer, request.method, body=body[:len(body) // 2])
            return False
        if fault == 'long':
            self.write(writer, answer, request.method, length=len(body) + 3)
            return False
        if fault == 'short':
            self.write(writer, Answer(answer.status, body[:-1], answer.headers), request.method)
            return True
        if fault == 'corrupt':
            body = body[:-1] + bytes([body[-1] ^ 1])
        if fault == 'garbage':
            body = b'<what is this'
        self.write(writer, answer, request.method, answer.length if request.method == 'HEAD' else len(body), body)
        return True

    async def gather(self, n):
        self.n_gathered += 1
        if self.n_gathered == n:
            self.gathered.set()
        await self.gathered.wait()

    async def stall(self, writer):
        await self.hung_up.wait()
        writer.transport.abort()
        return False

    async def deliver(self, n):
        """A request that is late was let in when it was sent."""
        request = self.late.pop(n)
        if isinstance(self.store, Upstream):
            await self.forward(request)
        else:
            self.store.carry_out(request)

    async def control(self, body):
        for command in json.loads(body or '[]'):
            if 'fault' in command:
                self.faults.append(command)
            elif 'clear' in command:
                self.faults, self.counts, self.store.quirks, self.chaos = [], {}, {}, None
                self.hit.clear()
            elif command.get('await') == 'hit':
                await self.hit.wait()
            elif command.get('await') == 'calm':
                while self.n_forwarded:
                    await asyncio.sleep(0.01)
            elif 'hang-up' in command:
                self.hung_up.set()
                self.hung_up = asyncio.Event()
            elif 'advance' in command:
                self.store.ahead += command['advance']
            elif 'deliver' in command:
                while self.late:
                    await self.deliver(0)
            elif 'chaos' in command:
                self.chaos = None if command['chaos'] is None else random.Random(command['chaos'])
            elif 'set' in command:
                self.store.objects[command['set']] = Object(command['body'].encode(), None, self.store.now())
            elif 'begin' in command:
                self.store.uploads[f'{random.getrandbits(64):x}+/='] = (command['begin'], None, {}, self.store.now())
            elif 'remove' in command:
                self.store.objects.pop(command['remove'], None)
            elif 'spoil' in command:
                there = self.store.objects[command['spoil']]
                body = there.body[:]
                there.body = bytes([body[0] ^ 1]) + body[1:]
            elif 'quirk' in command:
                self.store.quirks[command['quirk']] = command['value']
        names, n_uploads = await self.store.describe()
        return json.dumps({
            'counts': self.counts, 'late': len(self.late), 'redirected': self.redirected,
            'uploads': n_uploads, 'names': names,
        }).encode()


async def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--upstream')
    parser.add_argument('--certificate')
    arguments = parser.parse_args()
    server = Server(Upstream(arguments.upstream) if arguments.upstream else Store())
    context = None
    if arguments.certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(arguments.certificate)
    listeners = [await asyncio.start_server(server.serve, '127.0.0.1', 0, ssl=used, limit=1 << 20, backlog=500)
                 for used in ([context, None] if context else [None])]
    print(*[listener.sockets[0].getsockname()[1] for listener in listeners], flush=True)
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGUSR1, server.report)
    await loop.run_in_executor(None, sys.stdin.read)
    # Connections that stall must not keep it.
    sys.stdout.flush()
    os._exit(0)


if __name__ == '__main__':
    asyncio.run(main())
