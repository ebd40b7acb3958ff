import socketio

# Create client
sio = socketio.Client()

# Connect handlers
@sio.on('connect')
def on_connect():
    print('Connected to WebSocket')
    sio.emit('subscribe', 'your-session-id')

@sio.on('progress')
def on_progress(data):
    print(f"Progress: {data['progress']}%")
    print(f"Status: {data['status']}")

@sio.on('model_result')
def on_model_result(data):
    print(f"Model {data['modelName']}: {data['status']}")
    if data['status'] == 'completed':
        print(f"Result: {data['result']}")

@sio.on('completed')
def on_completed(data):
    print('Session completed!')
    sio.disconnect()

# Connect
sio.connect('http://localhost:3000', socketio_path='/socket.io/')

# Keep alive
sio.wait()
